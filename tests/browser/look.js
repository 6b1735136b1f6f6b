// What the tests ask a page: functions that return texts, one for each fault that they find. They change nothing on the page.
({
  // Markup or a link that was made of a visitor's text. `tables.py` has the texts.
  injected() {
    const found = [];
    for (const element of document.querySelectorAll("[data-injected], injected")) found.push(`element of a visitor: ${this.name(element)}`);
    for (const element of document.querySelectorAll("[href], [src], [action], [formaction], [srcdoc], [style]")) {
      const { href, src, action, formAction, attributes: { style } } = element;
      const links = [href?.baseVal ?? href, src, action, formAction].filter((link) => typeof link === "string" && link);
      const isOf = (link) => /^(javascript|vbscript):/i.test(link.trim()) || URL.parse(link, document.baseURI)?.host === "hostile.example";
      if (links.some(isOf) || element.srcdoc || /hostile\.example/.test(style?.value)) found.push(`link or style of a visitor: ${this.name(element)}`);
    }
    return found;
  },

  // What is wider than the window, so that people must scroll the whole page sideways.
  overflow() {
    const width = document.documentElement.clientWidth, found = document.scrollingElement.scrollWidth;
    if (found <= width) return [];
    const inner = [...document.querySelectorAll("body *")].filter(
      (element) => element.getBoundingClientRect().right > width + 1 && !this.isClipped(element));
    return [`${found} pixels in a window of ${width}: ${inner.slice(0, 3).map(this.name).join(", ")}`];
  },

  isClipped(element) {
    for (let outer = element.parentElement; outer && outer !== document.body; outer = outer.parentElement)
      if (getComputedStyle(outer).overflowX !== "visible") return true;
    return false;
  },

  // Text with an override of direction that also turns its neighbours around.
  direction() {
    const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      if (!/[\u202A-\u202E\u2066-\u2069]/.test(text.data) || !text.parentElement.checkVisibility()) continue;
      let outer = text.parentElement;
      const leaks = ({ display, unicodeBidi }) => display === "inline" && !/isolate|plaintext/.test(unicodeBidi);
      while (leaks(getComputedStyle(outer))) outer = outer.parentElement;
      if (outer.textContent.trim() !== text.data.trim()) found.push(`it is not isolated in ${this.name(outer)}`);
    }
    return found;
  },

  // Texts in pictures with less than 4.5:1 to the background, which axe does not look at.
  picture_contrast() {
    const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }), found = new Map();
    const rgba = (color) => {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = color;
      pixel.fillRect(0, 0, 1, 1);
      return [...pixel.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
    };
    const over = (top, under, alpha) => top.slice(0, 3).map((value, at) => value * alpha + under[at] * (1 - alpha));
    const light = (color) => {
      const [r, g, b] = color.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    for (const text of document.querySelectorAll("svg text")) {
      if (!text.textContent.trim() || !text.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
      const outer = [], style = getComputedStyle(text);
      for (let element = text.closest("svg"); element; element = element.parentElement) outer.unshift(getComputedStyle(element).backgroundColor);
      // Where nothing has a background, axe too takes white.
      const under = outer.map(rgba).reduce((below, color) => over(color, below, color[3]), [1, 1, 1]);
      const fill = rgba(style.fill);
      const color = over(fill, under, fill[3] * style.fillOpacity * style.opacity);
      const [low, high] = [light(color), light(under)].sort((a, b) => a - b);
      const ratio = (high + 0.05) / (low + 0.05);
      const fault = `${ratio.toFixed(1)}:1 of ${style.fill} in a picture`;
      if (ratio < 4.5 && !found.has(fault)) found.set(fault, `${fault}: ${text.textContent.trim().slice(0, 40)}`);
    }
    return [...found.values()];
  },

  // Remembers what a keyboard must reach, and how it looks without focus. Returns how many such controls there are.
  begin_walk() {
    document.activeElement?.blur();
    const selector = "a[href], area[href], button, input, select, textarea, summary, [tabindex], [contenteditable], [onclick], [role=button], [role=link]";
    // Arrow keys move between these, once one of them is reached.
    const inner = "[role=tab], [role=option], [role^=menuitem], [role=gridcell], [role=treeitem], [role=radio], input[type=radio]";
    const all = [...document.querySelectorAll(selector)].filter((element) => {
      const box = element.getBoundingClientRect();
      const isShown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && box.width > 1 && box.height > 1;
      return isShown && !element.matches(":disabled, [aria-hidden=true], [inert] *") && element.type !== "hidden";
    });
    window.walked = new Map(all.map((element) => [element, { look: this.look(element), isReached: element.matches(inner), isSeen: element.matches(inner) }]));
    // Not what only a program focuses: it has no action of its own.
    for (const element of all) if (element.matches("[tabindex='-1']:not(a, button, input, select, textarea, summary, [onclick], [role])")) window.walked.delete(element);
    return window.walked.size;
  },

  look(element) {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow, borderColor, borderWidth, backgroundColor, textDecoration } = getComputedStyle(element);
    const outline = outlineStyle === "none" || outlineWidth === "0px" ? "none" : outlineStyle + outlineWidth + outlineColor;
    return [outline, boxShadow, borderColor, borderWidth, backgroundColor, textDecoration].join();
  },

  // After each press of Tab. Returns the control that has focus, or null at the end, and its fault.
  step() {
    const element = document.activeElement;
    if (!element || element === document.body || element === document.documentElement) return null;
    const known = window.walked.get(element);
    const box = element.getBoundingClientRect();
    const faults = [];
    if (known) {
      known.isReached = true;
      known.isSeen ||= known.look !== this.look(element);
    }
    if (box.bottom < 0 || box.top > innerHeight) faults.push(`focus is outside of the window: ${this.name(element)}`);
    // The parts of a date are stops within one field.
    window.stops = element === window.focusedLast ? window.stops + 1 : 1;
    window.focusedLast = element;
    const isTrap = window.stops > 10;
    if (isTrap) faults.push(`Tab does not leave ${this.name(element)}`);
    return { faults, isTrap };
  },

  // The controls that were never reached, if the walk came to the end of the page.
  unreached() {
    return [...window.walked].filter(([element, { isReached }]) => !isReached && element.isConnected).map(([element]) => `Tab does not reach ${this.name(element)}`);
  },

  // The controls whose look did not change when they had focus. Of a field of several stops, such as a date, one change is enough.
  unseen() {
    return [...window.walked].filter(([, { isReached, isSeen }]) => isReached && !isSeen).map(([element]) => `focus is not visible: ${this.name(element)}`);
  },

  // Headings, tables and pictures that are on the screen: what paper must show too.
  contents() {
    return [...document.querySelectorAll("h1, h2, h3, table, svg, canvas, img")].filter((element) => element.checkVisibility()).length;
  },

  text() {
    return document.body.innerText.trim();
  },

  name(element) {
    const id = element.id ? `#${element.id}` : "", kind = typeof element.className === "string" && element.className ? `.${element.className.trim().replaceAll(/\s+/g, ".")}` : "";
    const text = element.textContent.trim().replaceAll(/\s+/g, " ").slice(0, 30);
    return `<${element.localName}${id}${kind}>${text ? ` "${text}"` : ""}`.slice(0, 120);
  },
})
