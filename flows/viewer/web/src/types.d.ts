// The answers of the interface, as flows/viewer/schemas.py has them.

type Maybe = number | null;

interface RunRow { name: string; version: number; published: string; versions: number[]; model: string; images: number; rejected: number; layers: string[] }
interface GridFacts { grid: number; cells: number; samples: number; icon: number; tile: number; has: string[] }
interface LayerFacts { name: string; index: number; units: number; height: number; width: number; focus: Maybe; grids: GridFacts[]; has: string[] }
interface About {
  name: string; version: number; tag: string; address: string; versions: number[]; published: string; sha256: string; model: string; images: string;
  fingerprints: Record<string, string>; history: { version: number; published: string; weights: string | null; images: number }[];
  listed: number; rejected: Record<string, number>; labels: number; ids: number; classes: number; input: number[] | null;
  config: Record<string, unknown>; stages: Record<string, number>; layers: LayerFacts[]; missing: Record<string, string>;
  commands: Record<string, string>; settings: Record<string, unknown>; cite: Record<string, string>; uploads: boolean;
}
interface CellColumns {
  layer: string; grid: number; row: number[]; col: number[]; count: number[] }
interface CellDetails {
  layer: string; grid: number; coherence: Maybe[]; cosine: Maybe[] | null;
  rank: number[] | null; weak: number[] | null; classes: [number, number, number][][] | null; names: Record<string, string>;
}
interface CellLabels { layer: string; grid: number; labels: string[]; cells: [number, number][][] }
interface Cell {
  contrast: Maybe; flat: boolean | null;
  layer: string; grid: number; row: number; col: number; count: number; coherence: Maybe;
  icon: { cosine: Maybe; rank: number; tries: number; weak: boolean } | null;
  units: { unit: number; mean: Maybe }[];
  labels: { label: string; samples: number; share: number }[];
  classes: { class: number; name: string; share: number; mean: Maybe }[] | null;
  nearest: { row: number; col: number; cosine: Maybe }[];
  members: { image_id: number; y: number; x: number; label: string }[];
}
interface ClassMap { layer: string; grid: number; class: number; name: string; mean: Maybe[]; rank: number[] }
interface UnitColumns {
  layer: string; units: number; max: Maybe[]; min: Maybe[]; labels: string[]; top: [number, number][][]; different: number[]; ratio: Maybe[] | null;
}
interface Patch {
  rank: number; value: Maybe; image_id: number; label: string | null; y: number; x: number;
  focus: { left: number; top: number; right: number; bottom: number } | null;
}
interface Side { note: string | null; extreme: Maybe; images_at_extreme: number; patches: Patch[]; pictures: number }
interface Unit {
  layer: string; unit: number; units: number; positive: Side; negative: Side;
  cells: { grid: number; strongest: { row: number; col: number; mean: Maybe }[] } | null;
  gallery: { value: Maybe; best: Maybe; patch: Maybe; dead: boolean } | null;
  gradients: { method: string; ranks: number[] } | null;
}
interface Effects { layer: string | null; exciting: { unit: number; influence: number; agreement: number }[]; inhibiting: { unit: number; influence: number; agreement: number }[] }
interface Card {
  layer: string; unit: number;
  labels: { patches: number; entropy: Maybe; counts: { label: string; patches: number }[] };
  samples: { count: number; zeros: number; above_zero: number; least: number; largest: number; mean: number; deviation: number;
    quantiles: Record<string, number>; histogram: { edges: number[]; counts: number[] } } | null;
  intervals: { from: number; to: number; count: number; share: number; examples: { value: number; image_id: number; label: string | null; y: number; x: number }[] }[];
  alike: { activation: { unit: number; cosine: number }[]; images: { unit: number; shared: number }[] };
  classes: { grid: number; cells: number; for: { class: number; name: string; correlation: number }[]; against: { class: number; name: string; correlation: number }[] } | null;
  drives: (Omit<Effects, 'layer'> & { later_layer: string | null; patches: number }) | null;
  driven: Effects | null;
}
interface UnitMap { layer: string; grid: number; unit: number; mean: Maybe[] }
type Mark = 'changed' | 'appeared' | 'emptied';
interface Arrows { grid: number; start: number[][]; end: number[][]; samples: number[]; beyond: number[] }
interface Moved {
  layer: string; since: string; samples: number; same_layout: boolean; same_frame: boolean; overlap: Maybe; label_change: Maybe;
  drift: { median: Maybe; q95: Maybe; units: number; dead: number };
  displacement: { median: Maybe; q95: Maybe; noise_median: Maybe; noise_q95: Maybe; beyond_noise: Maybe };
  cells: { grid: number; kept: number; changed: number; appeared: number; emptied: number; row: number[]; col: number[];
    old_samples: number[]; new_samples: number[]; state: number[]; stayed: Maybe[]; cosine: Maybe[]; label_change: Maybe[] }[];
  arrows: Arrows[];
  units: { drift: Maybe[]; overlap: Maybe[]; label_change: Maybe[]; old_label: (string | null)[]; new_label: (string | null)[] };
  labels: { label: string; samples: number; shift: Maybe; dx: Maybe; dy: Maybe }[];
}
interface ImageFacts { image_id: number; key: string; label: string | null; width: Maybe; height: Maybe; reason: string | null }
interface Rejects { images: number; first: { image_id: number; key: string; reason: string }[] }
interface Located {
  layer: string; grid: number; height: number; width: number; cells: { row: number; col: number; positions: number }[];
  positions: { y: number; x: number; cell: [number, number] | null; point: [number, number] }[];
  size: [number, number]; seen: [number, number, number, number];
}
interface Explained {
  layer: string; size: [number, number]; seen: [number, number, number, number];
  choices: { index: number; name: string; logit: number; probability: number }[];
  target: { index: number; name: string; score: number }; versus: { index: number; name: string } | null;
  grid: { rows: number; cols: number; top: number[]; left: number[]; norm: number[][]; side: number[][]; units: number[][][]; values: number[][][];
    relative: number[][][]; cosine?: number[][]; cells?: [number, number][][]; grid?: number };
  groups: { maps: number[][][]; share: number[]; explained: number; attribution: number[]; rest: number; units: number[][]; cells?: [number, number][] };
  attribution: { total: number; blocks: number[][]; for: { unit: number; attribution: number }[]; against: { unit: number; attribution: number }[] };
  notes: string[];
}
interface Salient { layer: string; method: string; score: Maybe; target: { name: string }; signed: boolean; rows: number; cols: number; map: string; seen: number[] }
interface Linked { layer: string; to: string; positions: number[][][][]; drivers: { unit: number; drivers: { unit: number; effect: number }[] }[] }
interface Links {
  layer: string; unit: number; later_layer: string; patches: { rank: number; image_id: number; y: number; x: number }[];
  links: { unit: number; effects: Maybe[] }[];
}
interface DrawnGradients { layer: string; unit: number; side: string; method: string; gradients: { number: number; picture: string }[] }
interface Facets { layer: string; unit: number; recipe: string; steps: number; side: number; seconds: number; facets: { picture: string; best: Maybe; ratio: Maybe }[] }
interface Libraries { versions: Record<string, string[]>; results: number; unrecorded: number }
interface ImageList { images: number; start: number; found: { image_id: number; key: string; label: string | null }[] }
interface Exported { name: string; version: number; about: About; mapped: number[] }

interface Window { ACTLAS?: Exported; actlas?: (answers: Record<string, unknown>, pictures: Record<string, string>) => void }
declare module '*.css';
