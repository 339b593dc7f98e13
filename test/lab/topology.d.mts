/** Types of topology.mjs, as far as tests use them. */
import type { Lab, Topology } from "./lab.mjs";

export function checkLabName(name: unknown): string;
export function parseTopology(input: unknown): Topology;
export function subnetCandidates(name: string): number[];
export function stableUuid(text: string): string;
export function layOut(name: string, topology: Topology, subnet: number): Omit<Lab, "ownerAlive" | "bootDir"> & {
  managementInterface: string;
  managementAddress: string;
  coreNetns: string;
};
