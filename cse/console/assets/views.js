// The views in the order of the menu. A view is a module of views/ that exports
//   {id, title, roles, mount(root, ctx) -> unmount}
// roles: who sees it; root: an empty element; ctx: see app.js.
import tree from "./views/tree.js";

export default [tree];
