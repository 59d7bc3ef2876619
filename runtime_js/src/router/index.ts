/** webbuild/router: one chat over several engines, in workers, tabs and on other machines. */
export { RoutedEngine } from "./routed_engine.js";
export { type Job, Router, type Strategy } from "./router.js";
export {
  balancedSplit,
  cacheAware,
  kvMigration,
  move,
  prefillDecode,
  roundRobin,
} from "./strategies.js";
