/** What is asked of images, and which image a template is. */
import type { FleetSpec, Image, ObservedTemplate } from "./model";

/** What a template's only disk is taken for when neither the template could be asked nor `imageBytes` was given. */
export const DEFAULT_IMAGE_BYTES = 10e9;

/** Bytes that one copy of all the image's disks moves, and writes. */
export const imageBytes = ({ disks }: Pick<Image, "disks">): number => disks.reduce((sum, disk) => sum + disk.bytes, 0);

/**
 * What the template is taken for where it could not be asked: one disk.
 * @param contentId what is known of its content; "": nothing
 */
export const supposedImage = ({ imageBytes: bytes = DEFAULT_IMAGE_BYTES }: Pick<FleetSpec, "imageBytes">, contentId: string): Image => ({
  contentId, disks: [{ bytes }],
});

/** The same as it would be seen: one disk, full. */
export const supposedTemplate = (spec: Pick<FleetSpec, "imageBytes">, contentId: string): ObservedTemplate => ({
  contentId, disks: supposedImage(spec, contentId).disks.map((disk) => ({ ...disk, capacityBytes: disk.bytes, format: "qcow2" })),
});

/** Of a template as it was seen, what its copies have to know. */
export const imageOf = ({ contentId, disks }: ObservedTemplate): Image => ({ contentId, disks: disks.map(({ bytes }) => ({ bytes })) });

const DISK_UNIT_BYTES = 1024;

/** Hosts make disks of whole KiB: one that is larger by a part of one is as it was declared. */
export const asMade = (sizeBytes: number): number => Math.ceil(sizeBytes / DISK_UNIT_BYTES) * DISK_UNIT_BYTES;
