// What JupyterLab's modules ask of a browser at import and jsdom lacks.

class SilentObserver {
  observe = () => undefined;
  unobserve = () => undefined;
  disconnect = () => undefined;
}

const lacking = {
  DragEvent: class extends MouseEvent {},
  IntersectionObserver: SilentObserver,
  ResizeObserver: SilentObserver,
  matchMedia: (query: string) => ({
    matches: false,
    media: query,
    addListener: () => undefined,
    removeListener: () => undefined,
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  })
};

for (const [name, value] of Object.entries(lacking)) {
  if (!Reflect.get(window, name)) {
    Object.defineProperty(window, name, { value, writable: true });
  }
}

// jsdom has no canvas: drawing is seen in tests/browser, here only that it is asked for.
HTMLCanvasElement.prototype.getContext = () => null;
