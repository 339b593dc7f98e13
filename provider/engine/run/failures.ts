import { HypervisorError } from "../../hypervisors/hypervisor";

export interface Failure {
  host: string;
  /** Slot name or `replica@host`; absent when it is the host's own. */
  name?: string;
  step: string;
  error: unknown;
  /** What the next `pulumi up` will do about it, as a clause: `clones it again`. */
  next: string;
}

/** What went wrong in one run, item by item; one item's failure stops no other. */
export class Failures {
  private readonly list: Failure[] = [];

  add(failure: Failure): void {
    this.list.push(failure);
  }

  get all(): readonly Failure[] {
    return this.list;
  }

  /** One line each, the same cause on one host told once with everything it hit. */
  reasons(): string[] {
    const groups = new Map<string, { first: Failure; names: Set<string> }>();
    for (const failure of this.list) {
      const key = JSON.stringify([failure.host, failure.step, messageOf(failure), failure.next]);
      const group = groups.get(key) ?? { first: failure, names: new Set<string>() };
      groups.set(key, group);
      if (failure.name !== undefined) group.names.add(failure.name);
    }
    return [...groups.values()].map(({ first, names }) => {
      const what = names.size > 0 ? `${[...names].sort().join(", ")}: ` : "";
      return `${first.host}: ${what}${first.step}: ${messageOf(first)}; the next \`pulumi up\` ${first.next}`;
    });
  }
}

/** The error's own words, without the host and step that the reason already names. */
function messageOf({ host, error }: Failure): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!(error instanceof HypervisorError)) return text;
  const bare = text.slice(`${error.host}: ${error.step}: `.length);
  return error.host === host ? bare : `${error.host}: ${bare}`;
}
