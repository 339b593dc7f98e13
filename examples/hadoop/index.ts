import { hadoop } from "./program";

export const { name, data, compute } = hadoop();
