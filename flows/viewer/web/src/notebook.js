// The page in a notebook: a frame that holds it, and a channel for its requests to the kernel.

/** @typedef {{ get: (name: string) => any, set: (name: string, value: any) => void, save_changes: () => void, send: (content: any, callbacks?: any, buffers?: ArrayBuffer[]) => void, on: (name: string, act: (...values: any[]) => void) => void, off: (name: string, act: (...values: any[]) => void) => void }} Model */

export default {
  /** @param {{ model: Model, el: HTMLElement }} parts */
  render({ model, el }) {
    const frame = document.createElement('iframe');
    frame.title = model.get('address') ? `actlas: ${model.get('address')}` : 'actlas';
    frame.style.cssText = `display: block; width: 100%; height: ${Number(model.get('height')) || 720}px; border: 0`;
    frame.allow = 'fullscreen; clipboard-write';
    const channel = new Channel(model);
    Object.assign(frame, {
      actlas: {
        ask: (/** @type {any} */ request) => channel.ask(request),
        went: (/** @type {string} */ address) => {
          model.set('address', address);
          model.save_changes();
        },
      },
    });
    const page = URL.createObjectURL(new Blob([model.get('page')], { type: 'text/html' }));
    frame.src = `${page}#${model.get('address')}`;
    const follow = () => {
      const there = frame.contentWindow?.location;
      if (there && there.hash.slice(1) !== model.get('address')) there.hash = model.get('address');
    };
    model.on('change:address', follow);
    el.append(frame);
    return () => {
      model.off('change:address', follow);
      channel.close();
      URL.revokeObjectURL(page);
    };
  },
};

/** Pending requests, and their answers by number. */
class Channel {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.name = String(Math.random()); // crypto.randomUUID is missing where a notebook comes by plain http
    /** @type {Map<number, (answer: any) => void>} */
    this.pending = new Map();
    this.next = 0;
    this.receive = (/** @type {any} */ message, /** @type {DataView[]} */ buffers) => {
      if (message.line !== this.name) return;
      const { byteOffset, byteLength, buffer } = buffers[0];
      this.pending.get(message.number)?.({ ...message, body: buffer.slice(byteOffset, byteOffset + byteLength) });
      this.pending.delete(message.number);
    };
    model.on('msg:custom', this.receive);
  }

  /** @param {{ address: string, method: string, body: ArrayBuffer | null }} request */
  ask({ address, method, body }) {
    const number = this.next++;
    return new Promise((resolve) => {
      this.pending.set(number, resolve);
      this.model.send({ line: this.name, number, address, method }, undefined, body ? [body] : []);
    });
  }

  close() {
    this.model.off('msg:custom', this.receive);
  }
}
