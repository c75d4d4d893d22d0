// Live events: server-sent events read with fetch, because EventSource cannot send who asks.

const NAMES = new Set(["request", "change", "delivery", "stack", "dropped"]);

/** Events of the CSE: CustomEvents "request", "change", "delivery", "stack", "dropped"; and "state" of the connection. */
export class Live extends EventTarget {
  constructor(session) {
    super();
    this._session = session;
    this._wanted = [];
    this.client = 0;
    this.state = "off";
    this._abort = null;
  }

  start() {
    if (this._abort) return;
    this._abort = new AbortController();
    this._run(this._abort.signal);
  }

  stop() {
    this._abort?.abort();
    this._abort = null;
    this.client = 0;
    this._say("off");
  }

  /** Be told of changes of these resources and their children ("change"), and of no others. */
  async watch(addresses) {
    this._wanted = [...new Set(addresses)].slice(0, 200);
    if (!this.client) return;
    clearTimeout(this._soon);
    this._soon = setTimeout(() => {
      this._session.api("watch", { body: { client: this.client, to: this._wanted } }).catch(() => {});
    }, 60);
  }

  _say(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  async _run(signal) {
    let pause = 500;
    while (!signal.aborted) {
      try {
        const answer = await fetch("api/live", { headers: this._session.headers, signal, cache: "no-store" });
        if (answer.status === 401) { this._session.leave("Your credential is worth nothing any more."); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        pause = 500;
        await this._read(answer.body.getReader());
      } catch { /* it is tried again */ }
      if (signal.aborted) return;
      this.client = 0;
      this._say("lost");
      await new Promise(done => setTimeout(done, pause));
      pause = Math.min(pause * 2, 8000);
    }
  }

  async _read(reader) {
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) this._take(event);
    }
  }

  _take(event) {
    let name = "", data = "";
    for (const line of event.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (!data) return;
    const detail = JSON.parse(data);
    if (name === "hello") {
      this.client = detail.client;
      this._say("live");
      this.watch(this._wanted);
    } else if (NAMES.has(name)) {
      this.dispatchEvent(new CustomEvent(name, { detail }));
    }
  }
}
