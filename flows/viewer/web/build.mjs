// Build the page: one classic script, one style sheet, fonts. Classic, since a page opened from disk loads no modules.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, '..', 'built');
const fresh = `${out}.new`;

await rm(fresh, { recursive: true, force: true });
await mkdir(fresh, { recursive: true });
const made = await build({
  absWorkingDir: here,
  entryPoints: { page: 'src/main.js' },
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  outdir: fresh,
  entryNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  loader: { '.woff2': 'file' },
  legalComments: 'none',
  metafile: true,
});
await build({
  absWorkingDir: here,
  entryPoints: { notebook: 'src/notebook.js' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  outdir: fresh,
});
for (const warning of made.warnings) console.warn(warning.text);
await cp(join(here, 'src', 'icon.svg'), join(fresh, 'icon.svg'));
await writeFile(join(fresh, 'licences.txt'), await licences());
const files = (await readdir(fresh)).sort();
const named = (/** @type {string} */ end) => files.filter((name) => name.startsWith('page-') && name.endsWith(end));
await writeFile(
  join(fresh, 'files.json'),
  JSON.stringify({ files, scripts: named('.js'), styles: named('.css'), sources: await digest() }, null, 1),
);
await rm(out, { recursive: true, force: true });
await cp(fresh, out, { recursive: true });
await rm(fresh, { recursive: true });

/** The licences of what is bundled. */
async function licences() {
  const parts = [];
  for (const name of ['openseadragon', '@fontsource-variable/inter', '@fontsource-variable/newsreader']) {
    const folder = join(here, 'node_modules', name);
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (file) parts.push(`${name}\n\n${await readFile(join(folder, file), 'utf8')}`);
  }
  return parts.join('\n\n----\n\n');
}

/** A hash over the sources, by which a stale page is known. */
async function digest() {
  const hash = createHash('sha256');
  const names = (await readdir(join(here, 'src'), { recursive: true, withFileTypes: true })).filter((e) => e.isFile());
  for (const path of names.map((entry) => join(entry.parentPath, entry.name)).sort()) hash.update(await readFile(path));
  return hash.digest('hex');
}
