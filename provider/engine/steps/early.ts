import { linkSignals } from "../../async/abort";
import type { EarlyOrder } from "../../hypervisors/hypervisor";
import { signalFor, type RunContext } from "../run/context";
import { asDefined, definition, type NewMember } from "./definition";
import { boot, type Boot } from "./waiting";

/**
 * Starts a member while its image still arrives (`start: "immediately"`), anew with each copy that brings it. What goes
 * wrong is nobody's failure: the copy says what is wrong with the copy, and once the image is there the member is made
 * of it in any case.
 */
export class EarlyStart {
  private attempt: Promise<void> | undefined;
  private isStarted = false;
  /** It waits for its place among those that configure. */
  private isQueued = false;
  /** It has its place, and is being started or was. */
  private isPlaced = false;
  /** Of a guest that is waited for. Undefined: it was not started yet. */
  private booted: Boot | undefined;
  private readonly endings: (() => void)[] = [];
  private leaveQueue = (): void => undefined;

  /**
   * @param found it was started by an earlier run, and waits for its disk
   * @param isConfiguring its guest is to be waited for
   */
  constructor(
    private readonly context: RunContext, private readonly member: NewMember,
    private readonly base: EarlyOrder["base"], readonly found: boolean, readonly isConfiguring: boolean,
  ) {}

  get order(): EarlyOrder {
    return { ...definition(this.context, this.member), base: this.base };
  }

  /** Something of it may be there that must be put over the whole image. */
  get isBegun(): boolean {
    return this.found || this.isStarted;
  }

  /** Its start, where its guest is waited for since. */
  get boot(): Boot | undefined {
    return this.booted;
  }

  /** A copy to its image starts it. @param local from a finished image of the same host: soon there */
  isStartedBy(local: boolean): boolean {
    const { spec, abilities, copiesOnly } = this.context;
    if (copiesOnly || !spec.powerOn || !abilities.startsEarly) return false;
    return this.found || (!local && spec.start === "immediately");
  }

  /** A copy to its image has begun in this very moment. @param local as of `isStartedBy` */
  begin(local: boolean): void {
    if (!this.isStartedBy(local)) return;
    if (!this.isConfiguring || this.isPlaced) this.follow(this.startNow());
    // One that waits for its place starts over whatever copy is under way then.
    else if (!this.isQueued) this.follow(this.startInPlace());
  }

  private startNow(): Promise<void> {
    const { abilities, ledger } = this.context;
    const { host } = this.member;
    const { order } = this;
    this.isStarted = true;
    ledger.worked.add(host);
    ledger.defining(host, { ...asDefined(this.context, order), base: "arriving" });
    return abilities.startsEarly!.startEarly(order, { signal: signalFor(this.context, host) });
  }

  private async startInPlace(): Promise<void> {
    const { fleet } = this.context;
    const { host, slot, name, generation } = this.member;
    const [place, wait] = [linkSignals(signalFor(this.context, host)), linkSignals(signalFor(this.context, host))];
    const over = (): void => {
      place.unlink();
      wait.unlink();
    };
    this.leaveQueue = () => place.abort(new Error("its image is there"));
    this.endings.push(() => wait.abort(new Error("it was not made")));
    this.isQueued = true;
    const started = boot(this.context, { fleet, host, slot, name, generation }, () => {
      this.isPlaced = true;
      return this.startNow();
    }, { place: place.signal, wait: wait.signal });
    started.ready.then(over, over);
    try {
      await started.started;
      this.booted = started;
    } catch (error) {
      this.isPlaced = false;
      throw error;
    } finally {
      this.isQueued = false;
    }
  }

  private follow(attempt: Promise<void>): void {
    this.attempt = Promise.allSettled([this.attempt, attempt]).then(() => undefined);
  }

  /** Nothing of its start is under way any more. */
  async ended(): Promise<void> {
    this.leaveQueue();
    await this.attempt;
  }

  /** It is not made in this run: nobody waits for its guest. */
  abandon(): void {
    this.leaveQueue();
    for (const end of this.endings) end();
  }
}
