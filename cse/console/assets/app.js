// The frame of the console: who sits here, the menu, the live connection, and the view that is shown.
import { el, replace } from "./dom.js";
import { Live } from "./live.js";
import { Session } from "./session.js";
import views from "./views.js";

const byId = id => document.getElementById(id);
const session = new Session();
const live = new Live(session);
let about = null;
let unmount = null;
let shown = "";

/** Say something to those who cannot see it. */
function announce(text) {
  const place = byId("announcer");
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}

/** Small things that are remembered in this browser, by name. */
const settings = {
  get(name, otherwise = null) {
    try { return JSON.parse(localStorage.getItem(`onemec.${name}`)) ?? otherwise; } catch { return otherwise; }
  },
  set(name, value) { localStorage.setItem(`onemec.${name}`, JSON.stringify(value)); },
  get session() { return about; },
};

/**
 * What a view gets.
 *   api(path, options)  asks the console (see session.js)
 *   ask(primitive)      has a request primitive served, gives the response primitive
 *   live                EventTarget: "request", "change", "delivery", "stack", "dropped", "state"; live.watch([addresses])
 *   role                "viewer", "operator" or "admin"; may(role) says whether it is at least that
 *   el(tag, props, ...children), replace(node, ...children)
 *   announce(text)      for aria-live
 *   settings            get(name, otherwise), set(name, value), session (role, originator, cse {id, name, type}, ...)
 *   params, go(view, params)   what follows the name of the view in the address, and how to get elsewhere
 */
function context(params) {
  const order = ["viewer", "operator", "admin"];
  return {
    api: (path, options) => session.api(path, options),
    ask: (primitive, signal) => session.api("primitive", { body: primitive, signal }),
    live, role: about.role, el, replace, announce, settings, params, go,
    may: role => order.indexOf(about.role) >= order.indexOf(role),
  };
}

function go(id, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== "" && value != null)).toString();
  location.hash = `#/${id}${query ? `?${query}` : ""}`;
}

function visible() {
  return views.filter(view => !view.roles || view.roles.includes(about.role));
}

function show() {
  if (!about) return;
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const view = visible().find(one => one.id === path) || visible()[0];
  shown = view.id;
  for (const link of byId("nav-list").querySelectorAll("a")) {
    if (link.dataset.view === view.id) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    else link.removeAttribute("aria-current");
  }
  end();
  live.watch([]);
  document.title = `${view.title} · ${about.cse.name} · onemec`;
  const root = el("div", { class: `view view-${view.id}` });
  replace(byId("main"), root);
  try {
    unmount = view.mount(root, context(new URLSearchParams(query)));
  } catch (error) {
    replace(root, el("h1", null, view.title), el("p", { class: "error", role: "alert" }, error.message));
    throw error;
  }
}

function end() {
  const last = unmount;
  unmount = null;
  if (last) last();
}

function menu() {
  replace(byId("nav-list"), visible().map(view =>
    el("li", null, el("a", { href: `#/${view.id}`, dataset: { view: view.id } }, view.title))));
}

function frame() {
  byId("cse").textContent = `${about.cse.type}-CSE ${about.cse.id}`;
  byId("who").textContent = `${about.originator} · ${about.role}`;
  byId("leave").hidden = !session.hasToken;
  const banner = byId("banner");
  banner.hidden = !about.insecure;
  banner.textContent = about.insecure ? "insecure-dev: originators are believed without credentials. For development on this machine only." : "";
}

function login(why) {
  end();
  live.stop();
  about = null;
  byId("cse").textContent = byId("who").textContent = "";
  byId("leave").hidden = true;
  byId("banner").hidden = true;
  replace(byId("nav-list"));
  document.title = "Log in · onemec";
  const problem = el("p", { class: "error", role: "alert", id: "login-problem" }, why || "");
  const token = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "login-help login-problem" });
  const form = el("form", { class: "card login", on: { submit: async event => {
    event.preventDefault();
    session.enter(token.value);
    await start();
  } } },
    el("h1", null, "Log in"),
    el("label", { for: "token" }, "Token of your credential"),
    token, problem,
    el("p", { class: "muted", id: "login-help" }, "It is what ", el("code", null, "onemec device add <name>"), " printed. It stays in this tab."),
    el("button", { type: "submit", class: "primary" }, "Log in"));
  replace(byId("main"), form);
  token.focus();
}

async function start() {
  try {
    const found = await session.api("session");
    if (found.login) {
      login(/nobody has/.test(found.why) ? found.why : "");
      return;
    }
    about = found;
  } catch (error) {
    if (error.status !== 401) {
      replace(byId("main"), el("div", { class: "card" }, el("h1", null, "The console is not available"),
        el("p", { class: "error", role: "alert" }, error.message),
        el("button", { type: "button", on: { click: start } }, "Try again"),
        session.hasToken ? el("button", { type: "button", on: { click: () => session.leave() } }, "Log out") : null));
    }
    return;
  }
  frame();
  menu();
  live.start();
  show();
}

live.addEventListener("state", event => {
  const words = { live: "live", lost: "connection lost, trying again", off: "not connected" };
  byId("live").dataset.state = event.detail;
  byId("live-word").textContent = words[event.detail];
});
session.onLogin = login;
byId("leave").addEventListener("click", () => session.leave());
document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); byId("main").focus(); });
addEventListener("hashchange", () => {
  show();
  if (document.activeElement === document.body) byId("main").focus({ preventScroll: true });
});
start();
