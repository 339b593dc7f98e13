import { HostUnreachableError } from "../../hypervisors/hypervisor";

/**
 * Which hosts still answer in this run. A host that failed once is out until the next run: waiting for it again and
 * again would make everything else wait too.
 */
export class HostBook {
  private readonly controllers = new Map<string, AbortController>();
  private readonly failed = new Map<string, HostUnreachableError>();
  private readonly listeners: ((name: string) => void)[] = [];

  /** Aborts when the host is given up; what is under way there ends. */
  signal(name: string): AbortSignal {
    let controller = this.controllers.get(name);
    if (!controller) this.controllers.set(name, controller = new AbortController());
    return controller.signal;
  }

  failure(name: string): HostUnreachableError | undefined {
    return this.failed.get(name);
  }

  /** @throws HostUnreachableError when the host was given up earlier */
  check(name: string): void {
    const failure = this.failed.get(name);
    if (failure) throw failure;
  }

  giveUp(failure: HostUnreachableError): void {
    if (this.failed.has(failure.host)) return;
    this.failed.set(failure.host, failure);
    for (const listener of this.listeners) listener(failure.host);
    this.signal(failure.host);
    this.controllers.get(failure.host)!.abort(failure);
  }

  onGivenUp(listener: (name: string) => void): void {
    this.listeners.push(listener);
  }
}
