/** From a URI to an open session: how many are made at once, when a refused attempt is made again, and until when. */
import type { Clock } from "../../../async/clock";
import type { Authentication } from "../rpc/authentication";
import { LibvirtClient } from "../rpc/client";
import { ConnectionLostError } from "../rpc/errors";
import { readAuthFile } from "./authFile";
import { SshError, type SshStream } from "./ssh";
import { openTransport } from "./transport";
import type { LibvirtUri } from "./uri";

const FEW = 8;
const MOST = 32;
const HOLD_MS = 500;

/**
 * How many ssh are on their way at once, in the whole process. Many hosts may stand behind one jump host, which ssh's
 * own configuration knows and nobody else, and its sshd drops what is too many at once (MaxStartups, by default from
 * 10 on). So it begins with few and one more with each that got through. Where some are dropped it goes on with half,
 * once for all that were on their way together, and from there on grows slowly. An attempt keeps its place for `holdMs`
 * at most: hosts that are dead must not keep the living ones waiting.
 */
export class Throttle {
  private under = 0;
  private begun = 0;
  /** How many had begun when it was halved last: what was on its way then is no news when it is dropped. */
  private halvedAt: number | undefined;
  private readonly line: (() => void)[] = [];

  constructor(private allowed = FEW, private readonly most = MOST, private readonly holdMs = HOLD_MS) {}

  get limit(): number {
    return Math.floor(this.allowed);
  }

  async run<T>(clock: Clock, attempt: () => Promise<T>): Promise<T> {
    if (this.under < this.limit) this.under++;
    else await new Promise<void>((go) => this.line.push(go));
    const mine = ++this.begun;
    let holds = true;
    const letGo = (): void => {
      if (!holds) return;
      holds = false;
      this.under--;
      this.admit();
    };
    const forget = clock.after(this.holdMs, letGo);
    try {
      const made = await attempt();
      this.allowed = Math.min(this.most, this.allowed + (this.halvedAt === undefined ? 1 : 1 / this.allowed));
      return made;
    } catch (error) {
      if (isEarly(error) && mine > (this.halvedAt ?? 0)) {
        this.allowed = Math.max(1, this.allowed / 2);
        this.halvedAt = this.begun;
      }
      throw error;
    } finally {
      forget();
      letGo();
    }
  }

  private admit(): void {
    while (this.under < this.limit && this.line.length > 0) {
      this.under++;
      this.line.shift()!();
    }
  }
}

const ssh = new Throttle();
const others = new Throttle(MOST);

export interface OpeningOptions {
  /** The host, in messages. */
  host: string;
  /** The connection, in messages. */
  peer: string;
  connectTimeoutMs: number;
  callTimeoutMs?: number;
  clock: Clock;
  /** Asked before each call of the session. @throws where none may be made any more */
  mayCall?: () => void;
}

/** What is passed in for tests. */
export interface OpeningWorld {
  throttle?: Throttle;
  random?: () => number;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Opens a session. An attempt that was dropped before anything was said is made again after a pause, until the deadline:
 * the pauses grow and differ, so that those who were dropped together do not come back together. The time in line, where
 * others' attempts are waited for, does not count.
 * @throws ConnectionLostError
 */
export async function openSession(uri: LibvirtUri, options: OpeningOptions, world: OpeningWorld = {}): Promise<LibvirtClient> {
  const { clock } = options;
  const random = world.random ?? Math.random;
  const throttle = world.throttle ?? (uri.transport === "ssh" ? ssh : others);
  let left = options.connectTimeoutMs;
  let dropped: ConnectionLostError | undefined;
  for (let attempts = 1; ; attempts++) {
    let spent = 0;
    try {
      return await throttle.run(clock, async () => {
        const begun = clock.nowMs();
        try {
          return await attempt(uri, options, left);
        } finally {
          spent = clock.nowMs() - begun;
        }
      });
    } catch (error) {
      // The attempt that the deadline cut short knows less than the one before it that was dropped.
      if (error instanceof DeadlineError && dropped) throw outOfTime(dropped, attempts - 1, options);
      if (!isEarly(error)) throw error;
      dropped = error as ConnectionLostError;
      const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempts - 1)) * (0.5 + random());
      left -= spent + pause;
      if (left <= 0) throw outOfTime(dropped, attempts, options);
      await clock.sleep(pause);
    }
  }
}

class DeadlineError extends ConnectionLostError {}

function outOfTime(error: ConnectionLostError, attempts: number, { connectTimeoutMs }: OpeningOptions): ConnectionLostError {
  return new ConnectionLostError(
    `${error.message} (${attempts} times in ${connectTimeoutMs / 1000} s: an sshd on the way takes too few connections at once; raise its MaxStartups, or connectTimeout)`,
    { cause: error },
  );
}

const isEarly = (error: unknown): boolean => error instanceof Error && error.cause instanceof SshError && error.cause.refusedEarly;

/** Whether nobody but the host hears what is said: whoever takes any host for the right one may be talking to another. */
function isPrivate(uri: LibvirtUri): boolean {
  switch (uri.transport) {
    case "unix": return true;
    case "tcp": return false;
    case "tls": return uri.verifies;
    case "ssh": return uri.hostKeys === undefined;
  }
}

function authenticationOf(uri: LibvirtUri): Authentication {
  return {
    ...(uri.auth && { wish: uri.auth }),
    isPrivate: isPrivate(uri),
    credentials: () => {
      const found = readAuthFile(uri.authFile, uri.transport === "unix" ? "localhost" : uri.host);
      const user = "user" in uri ? uri.user : undefined;
      return { ...(user !== undefined && uri.transport === "tls" && { name: user }), ...found };
    },
  };
}

async function attempt(uri: LibvirtUri, { host, peer, connectTimeoutMs, callTimeoutMs, clock, mayCall }: OpeningOptions, leftMs: number): Promise<LibvirtClient> {
  const stream = await openTransport(uri, leftMs, clock);
  let forget = (): void => undefined;
  try {
    return await Promise.race([
      LibvirtClient.open(stream, peer, uri.name, { callTimeoutMs, clock, mayCall, auth: authenticationOf(uri) }),
      new Promise<never>((_, reject) => {
        forget = clock.after(leftMs, () => {
          const said = uri.transport === "ssh" ? (stream as SshStream).complaint() : "";
          stream.destroy();
          reject(new DeadlineError(`${host} did not answer within ${connectTimeoutMs / 1000} s${said ? `; ssh says: ${said}` : ""}`));
        });
      }),
    ]);
  } finally {
    forget();
  }
}
