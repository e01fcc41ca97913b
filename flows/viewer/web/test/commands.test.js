import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actlas, quoted } from '../src/data/commands.js';

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
