import { defineConfig, type Plugin } from "vite";

/** The theme that was chosen must be in force before anything is painted; Vite drops the attribute that says so. */
const paintAfterScript: Plugin = {
  name: "paint-after-script",
  transformIndexHtml: {
    order: "post",
    handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
  },
};

export default defineConfig({
  base: "/",
  plugins: [paintAfterScript],
  build: {
    outDir: "../src/spillgate/web/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // everything has an address of its own: the policy of the page allows no inline code
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": "http://127.0.0.1:3000" } }, // npm run dev beside a `spillgate run`
});
