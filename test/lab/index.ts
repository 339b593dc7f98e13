/** The lab for tests: `import { up, down, installTemplate, until } from "../lab";` */
export * from "./lab.mjs";
export * from "./image.mjs";
export { delay, run, until } from "./exec.mjs";
