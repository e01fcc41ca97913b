// What the page's types hold beside the answers of the interface, which stand in generated/types.d.ts.

type Maybe = number | null;
type Mark = 'changed' | 'appeared' | 'emptied';

/** What an export says of its run before anything is asked. */
interface Exported {
  name: string;
  version: number;
  about: About;
  mapped: number[];
}

interface Window {
  ACTLAS?: Exported;
  actlas?: (answers: Record<string, unknown>, pictures: Record<string, string>) => void;
}
declare module '*.css';
