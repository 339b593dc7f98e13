/** Hypervisors around a hypervisor: one that keeps a diary, one that holds the engine to its promises, one that crashes. */
import type { FleetSpec } from "../../provider/fleet";
import type { Abilities, CallContext, CloneOrder, CopyRef, Hypervisor, ImageRef, MemberRef, RefeedOrder, SourceLostError } from "../../provider/hypervisors/hypervisor";

type PromisesOf<T> = { [K in keyof T]-?: NonNullable<T[K]> extends (...given: never[]) => Promise<unknown> ? K : never }[keyof T];
type Method = PromisesOf<Hypervisor> | { [Name in keyof Abilities]-?: PromisesOf<NonNullable<Abilities[Name]>> }[keyof Abilities];
type Call = (order: never, context?: CallContext) => Promise<unknown>;
type Around = (method: Method, order: any, context: CallContext | undefined, proceed: (context?: CallContext) => Promise<unknown>) => Promise<unknown>;

/**
 * Every call goes through `around`, which decides whether and when `proceed` runs: of whatever methods the hypervisor and
 * its abilities have. An ability's method goes by its own name.
 */
export function wrap(inner: Hypervisor, around: Around): Hypervisor {
  const through = <T extends object>(wrapped: T): T => new Proxy(wrapped, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (target === (inner as object) && key === "abilities") return Object.fromEntries(Object.entries(value as Abilities).map(([name, ability]) => [name, through(ability)]));
      if (typeof value !== "function" || key === "constructor") return value;
      return (order: never, context?: CallContext) => around(key as Method, order, context, (other = context) => (value as Call).call(target, order, other));
    },
  });
  return through(inner);
}

/** The hypervisor with other abilities, or figures. */
export function refitted(inner: Hypervisor, { abilities = {}, costs = {} }: Partial<Pick<Hypervisor, "abilities" | "costs">>): Hypervisor {
  const changed: Record<PropertyKey, unknown> = { abilities: { ...inner.abilities, ...abilities }, costs: { ...inner.costs, ...costs } };
  return new Proxy(inner, {
    get(target, key) {
      const value: unknown = changed[key] ?? Reflect.get(target, key, target);
      return typeof value === "function" ? (value as Call).bind(target) : value;
    },
  });
}

/** Notes every call as `method host/slot`. */
export function recording(inner: Hypervisor): { hypervisor: Hypervisor; calls: string[] } {
  const calls: string[] = [];
  const hypervisor = wrap(inner, (method, order, _context, proceed) => {
    const at = order?.target ?? order;
    calls.push([method, at?.host && `${at.host}${at.slot === undefined ? "" : `/${at.slot}`}`].filter(Boolean).join(" "));
    return proceed();
  });
  return { hypervisor, calls };
}

/** What the engine did wrong, if anything: caps exceeded, a base merged while read or read while merged. */
export function supervised(inner: Hypervisor, spec: FleetSpec): { hypervisor: Hypervisor; offences: string[]; peak: { clones: number; operations: number } } {
  const offences: string[] = [];
  const peak = { clones: 0, operations: 0 };
  const readers = new Map<string, number>();
  const merging = new Set<string>();
  const busy = new Map<string, number>();
  let clones = 0;
  let operations = 0;
  let merges = 0;
  const changing = new Map<string, string>();
  const count = (map: Map<string, number>, key: string, by: number) => map.set(key, (map.get(key) ?? 0) + by);

  const targetKey = (target: CopyRef) => `${target.host}/${target.kind === "base" ? target.slot : "replica"}`;
  /** What each copy under way reads now. */
  const reading = new Map<string, { hosts: Set<string>; end(): void }>();
  /** @param known hosts on which the copy counts already */
  const occupy = (source: ImageRef, target: CopyRef, known = new Set<string>()) => {
    const hosts = new Set([source.host, target.host].filter((h) => h !== null && !known.has(h)) as string[]);
    const base = source.kind === "base" ? `${source.host}/${source.slot}` : undefined;
    if (base && merging.has(base)) offences.push(`${base} read after its merge began`);
    for (const host of hosts) {
      count(busy, host, 1);
      const cap = spec.hosts.find((h) => h.name === host)!.maxConcurrent;
      if (busy.get(host)! > cap) offences.push(`${busy.get(host)} copies at once on ${host}`);
    }
    if (base) count(readers, base, 1);
    let over = false;
    return { hosts, end: () => {
      if (over) return;
      over = true;
      for (const host of hosts) count(busy, host, -1);
      if (base) count(readers, base, -1);
    } };
  };
  const read = (source: ImageRef, target: CopyRef) => {
    reading.get(targetKey(target))?.end();
    reading.set(targetKey(target), occupy(source, target));
  };
  const duringTurn = async ({ source, target }: RefeedOrder, proceed: () => Promise<unknown>) => {
    const now = reading.get(targetKey(target));
    if (!now) return proceed();
    // Until it is done the copy may read from either.
    const next = occupy(source, target, now.hosts);
    const both = { hosts: new Set([...now.hosts, ...next.hosts]), end: () => [now, next].forEach((one) => one.end()) };
    reading.set(targetKey(target), both);
    const isStill = () => reading.get(targetKey(target)) === both;
    try {
      const done = await proceed();
      if (isStill()) read(source, target);
      return done;
    } catch (error) {
      next.end();
      if (isStill()) reading.set(targetKey(target), now);
      throw error;
    }
  };
  const duringClone = async (order: CloneOrder, context: CallContext | undefined, proceed: (context?: CallContext) => Promise<unknown>) => {
    const { source, target } = order;
    peak.clones = Math.max(peak.clones, ++clones);
    if (clones > spec.limits.maxConcurrentClones) offences.push(`${clones} clones at once`);
    read(source, target);
    const onSourceLost = context?.onSourceLost && (async (error: SourceLostError) => {
      // It still counts on its target.
      read({ kind: "template", host: target.host }, target);
      const next = await context.onSourceLost!(error);
      if (next && reading.has(targetKey(target))) read(next, target);
      return next;
    });
    try {
      return await proceed({ ...context, ...(onSourceLost && { onSourceLost }) });
    } finally {
      clones--;
      reading.get(targetKey(target))?.end();
      reading.delete(targetKey(target));
    }
  };
  const duringOperation = async (proceed: () => Promise<unknown>) => {
    peak.operations = Math.max(peak.operations, ++operations);
    if (operations > spec.limits.maxConcurrentOperations) offences.push(`${operations} operations at once`);
    try {
      return await proceed();
    } finally {
      operations--;
    }
  };
  const duringMember = async (member: string | undefined, method: string, proceed: () => Promise<unknown>) => {
    if (member === undefined) return proceed();
    const other = changing.get(member);
    if (other) offences.push(`${method} of ${member} during its ${other}`);
    changing.set(member, method);
    try {
      return await proceed();
    } finally {
      changing.delete(member);
    }
  };
  const duringMerge = async (proceed: () => Promise<unknown>) => {
    if (++merges > spec.limits.maxConcurrentOperations) offences.push(`${merges} merges at once`);
    try {
      return await proceed();
    } finally {
      merges--;
    }
  };
  const hypervisor = wrap(inner, async (method, order, context, proceed) => {
    if (method === "clone") return order.source.host === null ? duringOperation(proceed) : duringClone(order, context, proceed);
    if (method === "refeed") return duringTurn(order, proceed);
    if (method === "lock" || method === "observe" || method === "inspect" || method === "askGuest" || method === "sharedStores" || method === "close") return proceed();
    if (method === "consolidate") {
      const base = `${(order as MemberRef).host}/${(order as MemberRef).slot}`;
      merging.add(base);
      if ((readers.get(base) ?? 0) > 0) offences.push(`${base} merged while ${readers.get(base)} read it`);
    }
    // An early start waits for its copy, beside which the member's image is made.
    const member = method === "reconfigure" || method === "power" || method === "consolidate" || method === "settle" || method === "markConfiguring" ? `${order.host}/${order.slot}` : undefined;
    return duringMember(member, method, () => (method === "consolidate" ? duringMerge(proceed) : duringOperation(proceed)));
  });
  return { hypervisor, offences, peak };
}

export class Crash extends Error {}

/**
 * The provider's process is killed at its `at`-th call (1 is the first): before that call has any effect, or right
 * after. What was under way breaks off, and nothing it does later reaches a host.
 *
 * @param counted the methods whose calls count; by default all
 */
export function crashing(
  inner: Hypervisor, at: number, when: "before" | "after", counted?: readonly Method[],
): { hypervisor: Hypervisor; calls(): number } {
  const dead = new AbortController();
  let calls = 0;
  const die = (): never => {
    dead.abort(new Crash("killed"));
    throw new Crash("killed");
  };
  const hypervisor = wrap(inner, async (method, _order, context, proceed) => {
    if (dead.signal.aborted) throw new Crash("killed");
    const number = !counted || counted.includes(method) ? ++calls : 0;
    if (number === at && when === "before") die();
    const signal = context?.signal ? AbortSignal.any([context.signal, dead.signal]) : dead.signal;
    const result = method === "lock" ? await proceed() : await proceed({ ...context, signal });
    if (number === at) {
      if (method === "lock") await (result as { release(): Promise<void> }).release();
      die();
    }
    return result;
  });
  return { hypervisor, calls: () => calls };
}
