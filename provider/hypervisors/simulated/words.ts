import type { HostWords } from "../../fleet/model";

/** Simulated hosts speak as libvirt's do, so that what is said of the one is said of the other. */
export const SIMULATED_WORDS: HostWords = {
  machine: "domain", store: "pool",
  takeAway: "virsh undefine {name}", shutDown: "virsh shutdown", moveBack: "virsh migrate", rename: "virsh domrename {name} {to}", removeImage: "virsh vol-delete",
};
