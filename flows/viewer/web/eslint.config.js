// Rules beside the compiler's: what a layer may import is said here, and held by tests/unit/flows_viewer/test_page_architecture.py too.

import js from '@eslint/js';
import globals from 'globals';

const LAYERS = ['data', 'state', 'ui', 'map', 'places', 'app'];

/** No layer imports one that stands above it. */
const layers = LAYERS.map((layer, i) => ({
  files: [`src/${layer}/**/*.js`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            group: [...LAYERS.slice(i + 1).map((above) => `**/${above}/**`), '**/main.js'],
            message: `${layer}/ must not import this layer.`,
          },
        ],
      },
    ],
  },
}));

export default [
  { ignores: ['node_modules/', '**/*.d.ts'] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2025, sourceType: 'module' },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: { eqeqeq: 'error', 'no-unused-vars': 'error', 'no-var': 'error', 'prefer-const': 'error' },
  },
  { files: ['src/**/*.js'], languageOptions: { globals: globals.browser } },
  { files: ['*.mjs', '*.js', 'test/**/*.js'], languageOptions: { globals: globals.node } },
  ...layers,
];
