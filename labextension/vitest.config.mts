// Unit tests of the front end, in jsdom; what needs a real lab is in tests/browser.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: import.meta.dirname,
  cacheDir: '../node_modules/.vite',
  test: {
    environment: 'jsdom',
    include: ['test/**/*.spec.{ts,tsx}'],
    setupFiles: ['test/setup.ts'],
    // Their ES modules import without file extensions, which Node refuses.
    server: { deps: { inline: [/@jupyter/, /@lumino/, /@microsoft\/fast/] } }
  }
});
