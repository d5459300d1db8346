// Which part of a drawing is seen: to fit it, to zoom it, to bring a node into sight.
import { type INode } from '../records';
import { BOX } from './graph';

/** Which part of the picture is seen: its place in pixels of the canvas, and how large. */
export interface IViewport {
  x: number;
  y: number;
  scale: number;
}

export interface ISize {
  width: number;
  height: number;
}

/** All of it in sight, no larger than it is; a large graph from its left. */
export function fitted(picture: ISize, room: ISize): IViewport {
  const scale = Math.max(
    0.05,
    Math.min(
      1,
      (room.width - 12) / Math.max(picture.width, 1),
      (room.height - 12) / Math.max(picture.height, 1)
    )
  );
  const y = Math.max(6, (room.height - picture.height * scale) / 2);
  return { scale, x: 6, y };
}

/** Larger or smaller, while the point at `x`, `y` of the canvas stays where it is. */
export function zoomed(
  view: IViewport,
  by: number,
  x: number,
  y: number
): IViewport {
  const scale = Math.min(4, Math.max(0.03, view.scale * by));
  const ratio = scale / view.scale;
  return {
    scale,
    x: x - (x - view.x) * ratio,
    y: y - (y - view.y) * ratio
  };
}

/** A node that is outside of the canvas in its middle. */
export function revealed(view: IViewport, node: INode, room: ISize): IViewport {
  const { scale } = view;
  const x = node.x * scale + view.x;
  const y = node.y * scale + view.y;
  const found = { ...view };
  if (x < 0 || x + BOX.width * scale > room.width) {
    found.x += room.width / 2 - x - (BOX.width * scale) / 2;
  }
  if (y < 0 || y + BOX.height * scale > room.height) {
    found.y += room.height / 2 - y;
  }
  return found;
}
