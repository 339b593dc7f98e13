/** Members that run, or wait, while their disk is not all there (`start: "immediately"`). */
import type { BaseState, ObservedMember } from "../model";

type Unarrived = Extract<BaseState, "arriving" | "arrived">;

export const isUnarrived = <T extends Pick<ObservedMember, "base">>(member: T): member is T & { base: Unarrived } =>
  member.base === "arriving" || member.base === "arrived";

/** What is missing can still be had: of a template that changed since, only what is whole. */
export const isCompletable = (member: Pick<ObservedMember, "base" | "contentId">, contentId: string): boolean =>
  member.base === "arrived" || member.contentId === contentId;
