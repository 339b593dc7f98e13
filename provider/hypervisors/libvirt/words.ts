import type { HostWords } from "../../fleet/model";

/** As libvirt and virsh have them. */
export const WORDS: HostWords = {
  machine: "domain", store: "pool",
  takeAway: "virsh undefine {name}", shutDown: "virsh shutdown", moveBack: "virsh migrate", rename: "virsh domrename {name} {to}", removeImage: "virsh vol-delete",
};
