import type { ImageRef } from "../../../hypervisor";

/** Another source for a copy under way, and whoever waits for it to be read. */
export interface SourceOrder {
  ref: ImageRef;
  done(): void;
  failed(error: unknown): void;
}

type State = { is: "open"; order?: SourceOrder } | { is: "complete" } | { is: "failed"; error: unknown };

/** The orders of other sources that one copy gets: the last one counts, and each is answered. */
export class SourceOrders {
  private state: State = { is: "open" };

  /** Resolves when the copy reads from there, or needs no source any more. */
  place(ref: ImageRef): Promise<void> {
    const { state } = this;
    if (state.is === "complete") return Promise.resolve();
    if (state.is === "failed") return Promise.reject(state.error as Error);
    return new Promise((resolve, reject) => {
      state.order?.failed(new Error("another source was chosen meanwhile"));
      state.order = { ref, done: resolve, failed: reject };
    });
  }

  /** Whoever takes it answers it. */
  take(): SourceOrder | undefined {
    if (this.state.is !== "open") return undefined;
    const { order } = this.state;
    this.state = { is: "open" };
    return order;
  }

  /** All is there. */
  complete(): void {
    this.take()?.done();
    this.state = { is: "complete" };
  }

  fail(error: unknown): void {
    this.take()?.failed(error);
    if (this.state.is === "open") this.state = { is: "failed", error };
  }
}
