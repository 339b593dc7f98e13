/** Promises started on the way, waited for together. A task handles its own errors; one that throws fails `idle`. */
export class Tasks {
  private open = 0;
  private failure: { error: unknown } | undefined;
  private wake: (() => void)[] = [];

  start(task: () => Promise<void>): void {
    this.open++;
    task().then(this.ended, this.failed);
  }

  private readonly ended = (): void => {
    if (--this.open === 0) this.wake.splice(0).forEach((resolve) => resolve());
  };

  private readonly failed = (error: unknown): void => {
    this.failure ??= { error };
    this.ended();
  };

  /** Resolves once nothing runs any more, tasks started by tasks included. */
  async idle(): Promise<void> {
    while (this.open > 0) await new Promise<void>((resolve) => this.wake.push(resolve));
    if (this.failure) throw this.failure.error;
  }
}
