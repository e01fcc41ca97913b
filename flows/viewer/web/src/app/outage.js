// Pictures that fail to load: whether the viewer is gone, and loading them again once it answers.

import { live, runs } from '../data/client.js';
import { retryPictures } from '../data/pictures.js';

/** How long to wait before asking whether the viewer is back, in milliseconds. */
const PAUSE = 2500;

/** Watch for lost pictures. @param {{ lost: () => void, back: () => void }} actions */
export function watchPictures({ lost, back }) {
  let asking = false;
  let gone = false;
  const look = async () => {
    const answers = await runs().then(
      () => true,
      (error) => error.status !== 0,
    );
    if (!answers) {
      if (!gone) lost();
      gone = true;
      setTimeout(look, PAUSE);
      return;
    }
    asking = false;
    if (gone) {
      gone = false;
      retryPictures();
      back();
    }
  };
  addEventListener('picturelost', () => {
    if (asking || !live()) return;
    asking = true;
    look();
  });
}
