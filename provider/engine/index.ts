/** The engine's doors. */
export { applyFleet } from "./apply";
export { realClock } from "./clock";
export { previewFleet } from "./preview";
export { refreshFleet } from "./refresh";
export { removeFleet } from "./remove";
export { throttled, type ThrottledSink } from "./throttle";
export { inOrder, racksOf } from "./timeline";
export * from "./types";
