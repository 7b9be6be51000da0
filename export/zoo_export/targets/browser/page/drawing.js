// A pad to draw on with a pointer or the keyboard.

const STEP = 8;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} cursor Shows where the keyboard's pen is.
   * @param {(picture: ImageData) => void} onDrawn Called after every stroke.
   */
  constructor(canvas, cursor, onDrawn) {
    this.canvas = canvas;
    this.cursor = cursor;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.onDrawn = onDrawn;
    this.pen = { x: canvas.width / 2, y: canvas.height / 2, down: false };
    this.strokes = [];
    this.look = { width: canvas.width / 12, whiteOnBlack: true, span: null };
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.follow(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => this.lift());
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.paint();
  }

  /** The drawing, with its ink in the middle and as large as the model knows it, if so asked. */
  get picture() {
    const { width, height } = this.canvas;
    if (!this.look.span) return this.context.getImageData(0, 0, width, height);
    const frame = new OffscreenCanvas(width, height).getContext("2d");
    this.paint(frame, this.fit());
    return frame.getImageData(0, 0, width, height);
  }

  fit() {
    const points = this.strokes.flat();
    const half = this.look.width / 2;
    const [left, right, top, bottom] = [0, 1].flatMap((axis) => {
      const values = points.map((point) => point[axis]);
      return [Math.min(...values) - half, Math.max(...values) + half];
    });
    const { width, height } = this.canvas;
    const scale = this.look.span * Math.min(width / (right - left), height / (bottom - top));
    return { scale, x: (left + right) / 2, y: (top + bottom) / 2 };
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  /** Draw the same strokes with another pen or other colours. */
  change(look) {
    Object.assign(this.look, look);
    this.paint();
    if (!this.isEmpty) this.onDrawn(this.picture);
  }

  clear() {
    this.strokes = [];
    this.drawing = null;
    this.paint();
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.start(this.point(event));
  }

  follow(event) {
    if (!this.drawing) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) this.extend(this.point(part));
  }

  start(point) {
    this.drawing = [point];
    this.strokes.push(this.drawing);
    this.extend(point);
  }

  extend(point) {
    this.drawing.push(point);
    this.line(this.drawing.slice(-2));
  }

  lift() {
    if (!this.drawing) return;
    this.drawing = null;
    this.onDrawn(this.picture);
  }

  point({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    return [((clientX - box.left) * width) / box.width, ((clientY - box.top) * height) / box.height];
  }

  /** Arrow keys move the pen, space lowers and lifts it, Delete clears the pad. */
  key(event) {
    const move = MOVES[event.key];
    if (move) this.step(...move);
    else if (event.key === " ") this.toggle();
    else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else return;
    event.preventDefault();
    this.showCursor();
  }

  step(dx, dy) {
    const inside = (value, size) => Math.min(size, Math.max(0, value));
    this.pen.x = inside(this.pen.x + dx * STEP, this.canvas.width);
    this.pen.y = inside(this.pen.y + dy * STEP, this.canvas.height);
    if (this.drawing) this.extend([this.pen.x, this.pen.y]);
  }

  toggle() {
    if (this.drawing) this.lift();
    else this.start([this.pen.x, this.pen.y]);
  }

  showCursor() {
    this.cursor.hidden = false;
    this.cursor.classList.toggle("down", Boolean(this.drawing));
    this.cursor.style.left = `${(100 * this.pen.x) / this.canvas.width}%`;
    this.cursor.style.top = `${(100 * this.pen.y) / this.canvas.height}%`;
  }

  paint(context = this.context, fit = null) {
    const { width, height } = this.canvas;
    context.fillStyle = this.look.whiteOnBlack ? "black" : "white";
    context.fillRect(0, 0, width, height);
    if (fit) {
      context.translate(width / 2, height / 2);
      context.scale(fit.scale, fit.scale);
      context.translate(-fit.x, -fit.y);
    }
    for (const stroke of this.strokes) this.line(stroke, context);
  }

  line(points, context = this.context) {
    context.strokeStyle = this.look.whiteOnBlack ? "white" : "black";
    context.lineWidth = this.look.width;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    context.stroke();
  }
}
