// Build the page: one classic script, one style sheet, fonts. Classic, since a page opened from a disk loads no modules.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PLACES } from './src/state/places.js';

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, '..', 'built');
const fresh = `${out}.new`;

/** Sources of tiles that OpenSeadragon can read and the page never does: the addresses of its tiles are its own. */
const UNUSED = [
  'IIIFTileSource',
  'IIPTileSource',
  'IrisTileSource',
  'OsmTileSource',
  'TmsTileSource',
  'LegacyTileSource',
];

/** @type {import('esbuild').Plugin} */
const withoutUnused = {
  name: 'without-unused-tile-sources',
  setup({ onLoad }) {
    onLoad({ filter: /openseadragon\.js$/ }, async ({ path }) => {
      const parts = (await readFile(path, 'utf8')).split(/(?=^\/\*\*?\s+\* OpenSeadragon - )/m);
      const isUnused = (/** @type {string} */ part) =>
        UNUSED.some((name) => part.includes(`OpenSeadragon - ${name}\n`));
      const contents = parts.filter((part) => !isUnused(part));
      if (parts.length - contents.length !== UNUSED.length)
        throw new Error('OpenSeadragon has other parts: see UNUSED');
      return { contents: contents.join('') };
    });
  },
};

await rm(fresh, { recursive: true, force: true });
await mkdir(fresh, { recursive: true });
const page = await build({
  absWorkingDir: here,
  entryPoints: { page: 'src/main.js' },
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  charset: 'utf8',
  plugins: [withoutUnused],
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
for (const warning of page.warnings) console.warn(warning.text);
await cp(join(here, 'src', 'icon.svg'), join(fresh, 'icon.svg'));
await writeFile(join(fresh, 'licences.txt'), await licences());
const files = (await readdir(fresh)).sort();
const pageFiles = (/** @type {string} */ end) => files.filter((name) => name.startsWith('page-') && name.endsWith(end));
await writeFile(
  join(fresh, 'files.json'),
  JSON.stringify(
    { files, scripts: pageFiles('.js'), styles: pageFiles('.css'), places: runPlaces(), sources: await digest() },
    null,
    1,
  ),
);
await rm(out, { recursive: true, force: true });
await cp(fresh, out, { recursive: true });
await rm(fresh, { recursive: true });

/** Return the places of a run, and what their addresses name after them: the server tells by it which addresses exist. */
function runPlaces() {
  return Object.fromEntries(PLACES.filter(({ needs }) => needs === 'run').map(({ name, subject }) => [name, subject]));
}

/** Return the licences of the bundled packages. */
async function licences() {
  const parts = [];
  for (const name of ['openseadragon', '@fontsource-variable/inter', '@fontsource-variable/newsreader']) {
    const folder = join(here, 'node_modules', name);
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (file) parts.push(`${name}\n\n${await readFile(join(folder, file), 'utf8')}`);
  }
  return parts.join('\n\n----\n\n');
}

/** Return a hash of the sources, which shows whether a built page is stale. */
async function digest() {
  const hash = createHash('sha256');
  const names = (await readdir(join(here, 'src'), { recursive: true, withFileTypes: true })).filter((e) => e.isFile());
  for (const path of names.map((entry) => join(entry.parentPath, entry.name)).sort()) hash.update(await readFile(path));
  return hash.digest('hex');
}
