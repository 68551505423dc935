// Bundles the page into built/, which is checked in: `cargo build` embeds it and needs no Node.
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const OUT = new URL("built/", import.meta.url);
const FONTS = new URL("node_modules/@fontsource-variable/archivo/files/", import.meta.url);

export const options = {
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: { page: "src/main.js", theme: "src/theme.js" },
  outdir: "built",
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome123", "firefox120", "safari17.5"],
  // Served as files of their own, beside the style sheet: relative, so that the page can be below any path.
  external: ["./archivo-*"],
  legalComments: "none",
  metafile: true,
  charset: "utf8",
  logLevel: "warning",
};

/** The files that are not bundled. */
export async function copies(to) {
  for (const name of await readdir(new URL("public/", import.meta.url))) {
    await copyFile(new URL(`public/${name}`, import.meta.url), new URL(name, to));
  }
  await copyFile(new URL("archivo-latin-wdth-normal.woff2", FONTS), new URL("archivo-latin.woff2", to));
  await copyFile(new URL("archivo-latin-ext-wdth-normal.woff2", FONTS), new URL("archivo-latin-ext.woff2", to));
}

/** What others wrote that is in the bundle, and under which licence. */
async function licences(inputs) {
  const packages = new Set(["@fontsource-variable/archivo"]);
  for (const path of inputs) {
    const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (found) packages.add(found[1]);
  }
  const parts = [];
  for (const name of [...packages].sort()) {
    const folder = new URL(`node_modules/${name}/`, import.meta.url);
    const { version, license } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
    const file = (await readdir(folder)).sort().find((one) => /^licen[cs]e/i.test(one));
    const text = file ? await readFile(new URL(file, folder), "utf8") : `${license}\n`;
    parts.push(`${name} ${version} (${license})\n\n${text.replaceAll("\r\n", "\n").trim()}\n`);
  }
  return parts.join(`\n${"-".repeat(80)}\n\n`);
}

if (import.meta.url === `file://${process.argv[1]}`) {
  await rm(OUT, { recursive: true, force: true });
  await mkdir(OUT);
  const { metafile } = await build(options);
  await copies(OUT);
  await writeFile(new URL("licences.txt", OUT), await licences(Object.keys(metafile.inputs)));
}
