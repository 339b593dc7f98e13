/** The engine's doors. */
export { applyFleet } from "./doors/apply";
export { realClock } from "../async/clock";
export { previewFleet } from "./doors/preview";
export { refreshFleet } from "./doors/refresh";
export { removeFleet } from "./doors/remove";
export { throttled, type ThrottledSink } from "./progress/throttle";
export { inOrder, racksOf } from "./record/timeline";
export * from "./types";
