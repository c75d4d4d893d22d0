// The colours of the map, as values and not as classes: the picture has to look right alone, too.

const LIGHT = {
  bg: "#f4f6f9", surface: "#ffffff", raised: "#eef1f6", ink: "#18202c", muted: "#556072", line: "#cfd7e2", idle: "#b9c3d1",
  accent: "#0b5fb0", accentSoft: "#e3eefa", cseFrom: "#0b5fb0", cseTo: "#123f77", cseInk: "#ffffff", cseMuted: "#cfe2f7", csePad: "#ffffff",
  good: "#14713f", goodSoft: "#dff3e7", warn: "#855600", warnSoft: "#fdf0d2", bad: "#b3202b", badSoft: "#fce4e5", none: "#6d798b",
  http: "#0b66c3", mqtt: "#7a3aa8", coap: "#0b7a6c", ws: "#a6440c", notify: "#b0327e", mca: "#0b66c3", mp1: "#a6440c", mcc: "#556072", sync: "#14713f", "": "#8591a3",
};
const DARK = {
  bg: "#0f141b", surface: "#171d27", raised: "#1f2733", ink: "#e7ebf2", muted: "#a3afc0", line: "#2f3a4b", idle: "#3d495c",
  accent: "#74b8f7", accentSoft: "#1b2f45", cseFrom: "#1d4f86", cseTo: "#12304f", cseInk: "#ffffff", cseMuted: "#bcd6f1", csePad: "#0f141b",
  good: "#66d69c", goodSoft: "#15321f", warn: "#ebbd55", warnSoft: "#372b10", bad: "#ff9a93", badSoft: "#43191b", none: "#8b98ab",
  http: "#74b8f7", mqtt: "#cfa2f0", coap: "#5fd3c2", ws: "#f2a46f", notify: "#f291c8", mca: "#74b8f7", mp1: "#f2a46f", mcc: "#a3afc0", sync: "#66d69c", "": "#7e8a9c",
};

export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

/** The colours of the scheme that the browser asks for. */
export const palette = dark => (dark ? DARK : LIGHT);

/** Names of bindings and reference points for people. */
export const WORDS = { http: "HTTP", mqtt: "MQTT", coap: "CoAP", ws: "WebSocket", notify: "notifications", mca: "Mca", mp1: "Mp1", mcc: "Mcc", sync: "cloud sync", "": "not seen yet" };
