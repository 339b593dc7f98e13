import { quickstart } from "./program";

export const { placement, lastRun } = quickstart();
