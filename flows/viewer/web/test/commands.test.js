import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actlas, classAtlas, labelAtlas, quoted } from '../src/data/commands.js';

test('words that a shell would read otherwise are quoted', () => {
  assert.equal(quoted('_blocks.10:37'), '_blocks.10:37');
  assert.equal(quoted('a b'), "'a b'");
  assert.equal(quoted("it's"), `'it'"'"'s'`);
  assert.equal(quoted('$(rm x)'), "'$(rm x)'");
});

test('a command names its store', () =>
  assert.equal(
    actlas({ store: '/my photos/store' }, 'top', 'run@1', 'layer:3'),
    "actlas top run@1 layer:3 --store '/my photos/store'",
  ));

const ABOUT = /** @type {any} */ ({ name: 'photos', select: 'actlas run --of photos@3 --store s' });

test('an atlas of a class is named by it', () => {
  assert.equal(
    classAtlas(ABOUT, 'tabby, tabby cat', 'corn'),
    "actlas run --of photos@3 --store s --class 'tabby, tabby cat' --against corn --name photos-tabby-corn",
  );
});

test('a label is quoted twice: for SQL and for a shell', () =>
  assert.equal(
    labelAtlas(ABOUT, "l'été"),
    `actlas run --of photos@3 --store s --where ${quoted("label = 'l''été'")} --name photos-lete`,
  ));

test('a label without a letter that a name may have is a selection', () =>
  assert.ok(labelAtlas(ABOUT, '猫').endsWith(' --name photos-selection')));
