import type { EarlyOrder } from "../../hypervisors/hypervisor";
import { signalFor, type RunContext } from "../run/context";
import { asDefined, definition, type NewMember } from "./definition";

/**
 * Starts a member while its image still arrives (`start: "immediately"`), anew with each copy that brings it. What goes
 * wrong is nobody's failure: the copy says what is wrong with the copy, and once the image is there the member is made
 * of it in any case.
 */
export class EarlyStart {
  private attempt: Promise<void> | undefined;

  /** @param found it was started by an earlier run, and waits for its disk */
  constructor(
    private readonly context: RunContext, private readonly member: NewMember,
    private readonly base: EarlyOrder["base"], readonly found: boolean,
  ) {}

  get order(): EarlyOrder {
    return { ...definition(this.context, this.member), base: this.base };
  }

  /** Something of it may be there that must be put over the whole image. */
  get isBegun(): boolean {
    return this.found || this.attempt !== undefined;
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
    const { abilities, ledger } = this.context;
    const { host } = this.member;
    const signal = signalFor(this.context, host);
    const { order } = this;
    ledger.worked.add(host);
    ledger.defining(host, { ...asDefined(this.context, order), base: "arriving" });
    this.attempt = Promise.allSettled([this.attempt, abilities.startsEarly!.startEarly(order, { signal })]).then(() => undefined);
  }

  /** Nothing of it is under way any more. */
  async ended(): Promise<void> {
    await this.attempt;
  }
}
