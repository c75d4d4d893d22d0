// Who sits here, and how the page asks the CSE. The token stays in this tab: it is sent as a header, never as a cookie.

const KEY = "onemec.token";
const IDLE_MS = 30 * 60 * 1000;

/** An answer of the console that says no. */
export class ApiError extends Error {
  constructor(status, message, rsc) {
    super(message);
    this.status = status;
    this.rsc = rsc;
  }
}

export class Session {
  constructor() {
    this.onLogin = () => {};
    this._token = sessionStorage.getItem(KEY) || "";
    this._touched = Date.now();
    for (const type of ["pointerdown", "keydown"]) addEventListener(type, () => { this._touched = Date.now(); });
    setInterval(() => {
      if (this._token && Date.now() - this._touched > IDLE_MS) this.leave("Nothing happened for half an hour, so you are logged out.");
    }, 30000);
  }

  get hasToken() { return Boolean(this._token); }

  enter(token) {
    this._token = token.trim();
    sessionStorage.setItem(KEY, this._token);
  }

  leave(why = "") {
    this._token = "";
    sessionStorage.removeItem(KEY);
    this.onLogin(why);
  }

  /** The headers that say who asks. */
  get headers() { return this._token ? { Authorization: `Bearer ${this._token}` } : {}; }

  /**
   * Ask the console.
   * @param {string} path below api/, e.g. "requests?since=4"
   * @param {{body?: object, method?: string, signal?: AbortSignal}} options a body makes it a POST
   * @returns {Promise<any>} the JSON of the answer
   * @throws {ApiError} the console says no, or does not answer
   */
  async api(path, options = {}) {
    const init = { method: options.method || (options.body === undefined ? "GET" : "POST"), signal: options.signal, cache: "no-store", credentials: "same-origin", headers: { ...this.headers } };
    if (init.method !== "GET") {
      Object.assign(init.headers, { "Content-Type": "application/json", "X-Onemec-Console": "1" });
      init.body = JSON.stringify(options.body ?? {});
    }
    let answer;
    try {
      answer = await fetch(`api/${path}`, init);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The CSE does not answer. Is it running?");
    }
    const shown = await answer.json().catch(() => ({ error: `The CSE answered ${answer.status} and no JSON.` }));
    if (answer.ok) return shown;
    if (answer.status === 401) this.leave(this._token ? shown.error : "");
    throw new ApiError(answer.status, shown.error || `The CSE answered ${answer.status}.`, shown.rsc);
  }
}
