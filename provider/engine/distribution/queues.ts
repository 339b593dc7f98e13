import type { CloneTarget } from "../../hypervisors/hypervisor";
import type { BookedSource, SourceBook } from "./sourceBook";
import type { ReadHints } from "./reads";
import type { Room } from "./room";

/** One base image wanted on a host. */
export interface WantedCopy {
  host: number;
  target: CloneTarget;
  /** Slot name or `replica@host`. */
  label: string;
  /** What is known or to be known of its guests' reads, for a copy about to be ordered. @param local as of `begun` */
  hints?(local: boolean): ReadHints | undefined;
  /** A copy to it has just been ordered. @param local from a finished image of its own host */
  begun?(local: boolean): void;
  /** The image is there and is a source from now on (undefined: its host was given up meanwhile). */
  whole(source: BookedSource | undefined): void;
  /** It will not be there in this run. Not called when the run is cancelled. */
  failed(error: unknown): void;
}

export interface QueuedCopy extends WantedCopy {
  attempts: number;
  /** Was taken from a source that lagged; once is enough, it may be the target that is slow. */
  overtaken: boolean;
}

/** The copies that are wanted and not under way: by host, in order; and those that wait for room in their store. */
export class CopyQueues {
  private readonly byHost: QueuedCopy[][];
  private held: QueuedCopy[] = [];

  constructor(private readonly book: SourceBook, private readonly room: Room) {
    this.byHost = book.topology.hosts.map(() => []);
  }

  /** @param copy is the queues' own from now on: there are very many, too many for a second one of each */
  add(copy: WantedCopy): void {
    this.byHost[copy.host]!.push(Object.assign(copy, { attempts: 0, overtaken: false }));
    this.book.want(copy.host, 1);
  }

  first(host: number): QueuedCopy | undefined {
    return this.byHost[host]?.[0];
  }

  removeFirst(host: number): void {
    this.byHost[host]!.shift();
  }

  /** One that was under way, before all others. */
  again(copy: QueuedCopy): void {
    this.byHost[copy.host]!.unshift(copy);
  }

  /** It is neither queued nor under way for a while, so nobody may be sent in its place. */
  setAside({ host }: QueuedCopy): void {
    this.book.setAside(host);
  }

  takeBack({ host }: QueuedCopy): void {
    this.book.takeBack(host);
  }

  /** Nothing more may begin in this host's store while what is under way there may fill it. */
  hold(host: number): void {
    for (const copy of this.byHost[host]!.splice(0)) {
      this.setAside(copy);
      this.held.push(copy);
    }
  }

  /** Those that wait for this host's store are wanted again, as soon as one may begin. */
  release(host: number): void {
    if (this.held.length === 0 || !this.room.admits(host)) return;
    this.unhold((copy) => this.room.isSameStore(copy.host, host));
  }

  /** Takes all out, of one host or of all. What they count for in the source book stays. */
  drain(host?: number): QueuedCopy[] {
    this.unhold((copy) => host === undefined || copy.host === host);
    return this.byHost.flatMap((queue, index) => (host === undefined || host === index ? queue.splice(0) : []));
  }

  private unhold(which: (copy: QueuedCopy) => boolean): void {
    const [freed, held] = [this.held.filter(which), this.held.filter((copy) => !which(copy))];
    this.held = held;
    for (const copy of freed) {
      this.takeBack(copy);
      this.byHost[copy.host]!.push(copy);
    }
  }
}
