// The page in a notebook: a frame that holds it, and a way for what it asks to the kernel and back.

/** @typedef {{ get: (name: string) => any, set: (name: string, value: any) => void, save_changes: () => void, send: (content: any, callbacks?: any, buffers?: ArrayBuffer[]) => void, on: (name: string, act: (...values: any[]) => void) => void, off: (name: string, act: (...values: any[]) => void) => void }} Model */

export default {
  /** @param {{ model: Model, el: HTMLElement }} given */
  render({ model, el }) {
    const frame = document.createElement('iframe');
    frame.title = model.get('address') ? `actlas: ${model.get('address')}` : 'actlas';
    frame.style.cssText = `display: block; width: 100%; height: ${Number(model.get('height')) || 720}px; border: 0`;
    frame.allow = 'fullscreen; clipboard-write';
    const line = new Line(model);
    Object.assign(frame, {
      actlas: {
        ask: (/** @type {any} */ asked) => line.ask(asked),
        went: (/** @type {string} */ address) => {
          model.set('address', address);
          model.save_changes();
        },
      },
    });
    const page = URL.createObjectURL(new Blob([model.get('page')], { type: 'text/html' }));
    frame.src = `${page}#${model.get('address')}`;
    const turned = () => {
      const there = frame.contentWindow?.location;
      if (there && there.hash.slice(1) !== model.get('address')) there.hash = model.get('address');
    };
    model.on('change:address', turned);
    el.append(frame);
    return () => {
      model.off('change:address', turned);
      line.close();
      URL.revokeObjectURL(page);
    };
  },
};

/** Questions on their way, and the answers to them by number. */
class Line {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.name = String(Math.random()); // crypto.randomUUID is missing where a notebook comes by plain http
    /** @type {Map<number, (answer: any) => void>} */
    this.waiting = new Map();
    this.next = 0;
    this.heard = (/** @type {any} */ message, /** @type {DataView[]} */ buffers) => {
      if (message.line !== this.name) return;
      const { byteOffset, byteLength, buffer } = buffers[0];
      this.waiting.get(message.number)?.({ ...message, body: buffer.slice(byteOffset, byteOffset + byteLength) });
      this.waiting.delete(message.number);
    };
    model.on('msg:custom', this.heard);
  }

  /** @param {{ address: string, method: string, body: ArrayBuffer | null }} asked */
  ask({ address, method, body }) {
    const number = this.next++;
    return new Promise((resolve) => {
      this.waiting.set(number, resolve);
      this.model.send({ line: this.name, number, address, method }, undefined, body ? [body] : []);
    });
  }

  close() {
    this.model.off('msg:custom', this.heard);
  }
}
