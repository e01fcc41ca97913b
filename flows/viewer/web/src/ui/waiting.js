// What is said while the model works.

export const COMPUTING = 'Computing on the model; this can take several seconds …';
