/** How a record is read: older versions wrote less, and what is there must be right. */
import { z } from "zod";

/** What was left out takes a value that the next observation corrects. */
export const absent = <T extends z.ZodType>(item: T, otherwise: z.output<T>) => item.nullish().transform((value) => value ?? otherwise);
export const maybe = <T extends z.ZodType>(item: T) => item.nullish().transform((value) => value ?? undefined);
export const slotSchema = z.int().min(0);
