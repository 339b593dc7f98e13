import type { Input } from "@pulumi/pulumi";
import type { FleetInputs } from "../provider/fleet";

/** T, with every value in it allowed to be an output of another resource. */
export type InputOf<T> = T extends string | number | boolean | undefined | null
  ? Input<T>
  : T extends readonly (infer Item)[]
    ? Input<InputOf<Item>[]>
    : T extends object
      ? Input<{ [Key in keyof T]: InputOf<T[Key]> }>
      : Input<T>;

/**
 * The arguments of a ClonedVmFleet. Exactly one of `count`, `countPerHost` and `hosts[].count` says how many;
 * every field, its default and its limits stand in docs/configuration.md and in schema.json.
 */
export type ClonedVmFleetArgs = { [Key in keyof FleetInputs]: InputOf<FleetInputs[Key]> };
