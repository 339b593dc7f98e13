import type * as dynamic from "@pulumi/pulumi/dynamic";
import { createFront, redacting, type FrontDependencies } from "../../front";
import { checkFleet } from "./check";
import { diffFleet } from "./diff";
import { type EngineLink, otherSideOf } from "./engine-link";
import { createLifecycle } from "./lifecycle";
import { type Bag, isUnknown } from "./properties";

export interface FleetProvider {
  check(olds: Bag | undefined, news: Bag): Promise<dynamic.CheckResult>;
  diff(id: string, olds: Bag, news: Bag): Promise<dynamic.DiffResult>;
  create(inputs: Bag): Promise<dynamic.CreateResult>;
  update(id: string, olds: Bag, news: Bag): Promise<dynamic.UpdateResult>;
  read(id: string, props: Bag): Promise<dynamic.ReadResult>;
  delete(id: string, props: Bag): Promise<void>;
}

export interface ProviderDependencies extends Omit<FrontDependencies, "otherSide" | "isUnknown"> {
  link: EngineLink;
  /** What tells the backend that holds this stack from all others: goes into the derived ids of new fleets. */
  backend(): string;
}

/** Pulumi's methods over the given doors, hosts and engine. */
export function createProvider({ link, backend, ...dependencies }: ProviderDependencies): FleetProvider {
  const front = createFront({ ...dependencies, otherSide: otherSideOf(link), isUnknown });
  const previewed = new Set<string>();
  // What is thrown in translating, too: of a record that cannot be read, of inputs that lack something.
  return redacting<FleetProvider>({
    check: (olds, news) => checkFleet(olds, news, front, backend, previewed),
    diff: (_id, olds, news) => diffFleet(olds, news, front, previewed),
    ...createLifecycle(front, backend),
  });
}
