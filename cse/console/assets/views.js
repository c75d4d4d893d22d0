// The views in the order of the menu. A view is a module of views/ that exports
//   {id, title, roles, mount(root, ctx) -> unmount}
// roles: who sees it; root: an empty element; ctx: see app.js.
import charts from "./views/charts.js";
import deliveries from "./views/deliveries.js";
import handover from "./views/handover.js";
import map from "./views/map.js";
import mec from "./views/mec.js";
import requests from "./views/requests.js";
import sync from "./views/sync.js";
import tree from "./views/tree.js";

export default [tree, charts, map, requests, deliveries, mec, sync, handover];
