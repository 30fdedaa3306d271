import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the pages beside a running server, or beside dev/mock.mjs.
const server = process.env.BRIMLINE_URL ?? "http://127.0.0.1:2455";

// The server says some words too (a shared report); it reads the pages' own catalogues.
const catalogues: Plugin = {
  name: "catalogues",
  generateBundle() {
    for (const file of readdirSync("src/locales")) {
      const source = readFileSync(`src/locales/${file}`);
      this.emitFile({ type: "asset", fileName: `words/${file}`, source });
    }
  },
};

export default defineConfig({
  plugins: [react(), catalogues],
  build: {
    target: "es2022",
    // The page's policy forbids data: scripts and styles, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Served from this computer: one file of 0.6 MB opens quicker than many small ones.
    chunkSizeWarningLimit: 800,
  },
  server: { proxy: { "/api": { target: server, changeOrigin: true } } },
  // A minute: how quick the machine is is not what these tests are about.
  test: { include: ["src/**/*.test.ts"], testTimeout: 60_000 },
});
