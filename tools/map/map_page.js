'use strict';
/*
 * The page of `osmem map`: reads the maps that are embedded (osmem/map_format.h, packed as
 * map_page.cc says), counts them, and draws the memory as rows of equal length.
 *
 * What a pixel shows is computed from sums over lines of 64 granules, so drawing costs the same
 * whatever the number of blocks; below a line a pixel the tags themselves are looked at.
 */
(() => {
  const GRANULE = 16, LINE_GRANULES = 64, LINE = GRANULE * LINE_GRANULES;
  const STATISTICS = 1, HEAP = 2, REGION = 3, MAPPING = 4, SITES = 5, TEXT = 6;
  const NO_RESIDENCY = 1, RUNNING = 2, RECORDED = 4;
  const NONE = 0, USED = 1, FREE = 2, PURGED = 3, UNTOUCHED = 4, METADATA = 5, MAPPED = 6, KEPT = 7;
  const STATES = ['none', 'used', 'free', 'purged', 'untouched', 'metadata', 'mapped', 'kept'];
  const STATE_NAMES = ['nothing', 'in use', 'free', 'free, page not in memory', 'untouched end',
    'metadata', 'mapped block, in use', 'mapping kept for later'];
  const byId = id => document.getElementById(id);

  // ---- reading ---------------------------------------------------------------------------------

  const data = JSON.parse(byId('data').textContent);

  function unpack(text) {
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++)
      bytes[i] = raw.charCodeAt(i);
    const packed = new Uint32Array(bytes.buffer);
    let words = 0;
    for (let at = 0; at < packed.length; at += 2 + 2 * packed[at + 1])
      words += packed[at] + packed[at + 1];
    const result = new Uint32Array(2 * words);
    for (let at = 0, to = 0; at < packed.length;) {
      const literal = packed[at + 1];
      to += 2 * packed[at];
      result.set(packed.subarray(at + 2, at + 2 + 2 * literal), to);
      to += 2 * literal;
      at += 2 + 2 * literal;
    }
    return result;
  }

  const long = (words, index) => words[index] + words[index + 1] * 2 ** 32;

  function residencyOf(words, pages) {
    if (words.length === 0)
      return null;
    const prefix = new Uint32Array(pages + 1);
    for (let page = 0; page < pages; page++)
      prefix[page + 1] = prefix[page] + (words[page >> 5] >>> (page & 31) & 1);
    return prefix;
  }

  // A stretch of memory: a region of a heap, or a mapping. `resident` counts pages in memory before
  // each page, `used` and `purged` granules before each line.
  class Region {
    constructor(words, page, hasResidency) {
      this.address = long(words, 0);
      this.heap = long(words, 2);
      [this.first, this.top, this.committed, this.fresh] = words.subarray(4, 8);
      this.lines = long(words, 8);
      this.size = this.committed * GRANULE;
      this.page = page;
      const pages = Math.ceil(this.size / page);
      const at = 10 + (hasResidency ? 2 * Math.ceil(pages / 64) : 0);
      this.resident = residencyOf(words.subarray(10, at), pages);
      this.tags = words.subarray(at, at + 4 * this.lines);
      this.remote = words.subarray(at + 4 * this.lines, at + 6 * this.lines);
      this.count();
    }

    isResident(offset) {
      const page = Math.floor(offset / this.page);
      return !this.resident || this.resident[page + 1] > this.resident[page];
    }

    count() {
      const {lines, tags, remote, first, top} = this;
      this.used = new Uint32Array(lines + 1);
      this.purged = new Uint32Array(lines + 1);
      this.carry = new Uint8Array(lines); // whether the block that reaches into the line is free
      let isFree = 0, usedBlocks = 0, freeBlocks = 0, free = 0;
      for (let line = 0; line < lines; line++) {
        const end = Math.min(LINE_GRANULES, top - first - line * LINE_GRANULES);
        let used = 0, at = 0;
        this.carry[line] = isFree;
        for (let half = 0; half < 2; half++) {
          const frees = tags[4 * line + 2 + half] | remote[2 * line + half];
          for (let starts = tags[4 * line + half]; starts !== 0; starts &= starts - 1) {
            const bit = 31 - Math.clz32(starts & -starts), granule = 32 * half + bit;
            if (granule >= end)
              break;
            if (!isFree)
              used += granule - at;
            at = granule;
            isFree = frees >>> bit & 1;
            if (isFree) freeBlocks++; else usedBlocks++;
          }
        }
        const below = Math.max(0, end);
        if (!isFree)
          used += Math.max(0, below - at);
        const rest = below - used;
        free += rest;
        this.used[line + 1] = this.used[line] + used;
        this.purged[line + 1] = this.purged[line] +
          (rest && !this.isResident((first + line * LINE_GRANULES) * GRANULE) ? rest : 0);
      }
      this.totals = {
        allocated: this.used[lines] * GRANULE, allocated_blocks: usedBlocks,
        free: free * GRANULE, free_blocks: freeBlocks, purged: this.purged[lines] * GRANULE,
        untouched: (this.committed - top) * GRANULE, metadata: first * GRANULE, heap: this.size,
        resident: this.resident ? this.resident[this.resident.length - 1] * this.page : 0,
      };
    }

    // The start bits at a line, and the state of its 64 granules into `states`.
    decode(line, states, starts) {
      const base = this.first + line * LINE_GRANULES;
      const free = this.isResident(base * GRANULE) ? FREE : PURGED;
      let isFree = this.carry[line];
      for (let granule = 0; granule < LINE_GRANULES; granule++) {
        const half = granule >> 5, bit = granule & 31;
        const start = this.tags[4 * line + half] >>> bit & 1;
        if (base + granule >= this.top) {
          states[granule] = base + granule < this.committed ? UNTOUCHED : NONE;
          starts[granule] = 0;
          continue;
        }
        if (start)
          isFree = (this.tags[4 * line + 2 + half] | this.remote[2 * line + half]) >>> bit & 1;
        states[granule] = isFree ? free : USED;
        starts[granule] = start;
      }
    }

    hasStart(granule) {
      const line = Math.floor(granule / LINE_GRANULES) - this.first / LINE_GRANULES;
      const index = granule % LINE_GRANULES;
      return this.tags[4 * line + (index >> 5)] >>> (index & 31) & 1;
    }

    // The block around a byte: {begin, end, state} in bytes from the start.
    block(offset) {
      const granule = Math.floor(offset / GRANULE), part = (begin, end, state) =>
        ({begin: begin * GRANULE, end: end * GRANULE, state});
      if (granule >= this.committed)
        return null;
      if (granule < this.first)
        return part(0, this.first, METADATA);
      if (granule >= this.top)
        return part(this.top, this.committed, UNTOUCHED);
      let begin = granule, end = granule + 1;
      while (begin > this.first && !this.hasStart(begin))
        begin = this.skip(begin, -1);
      while (end < this.top && !this.hasStart(end))
        end = this.skip(end, 1);
      const line = Math.floor(begin / LINE_GRANULES) - this.first / LINE_GRANULES;
      const half = begin % LINE_GRANULES >> 5;
      const free = (this.tags[4 * line + 2 + half] | this.remote[2 * line + half]) >>>
        (begin & 31) & 1;
      return part(begin, Math.min(end, this.top), free ? FREE : USED);
    }

    // The next granule that way that may be a start: lines without one are passed over.
    skip(granule, step) {
      const line = Math.floor(granule / LINE_GRANULES) - this.first / LINE_GRANULES;
      if (this.tags[4 * line] | this.tags[4 * line + 1])
        return granule + step;
      const base = granule - granule % LINE_GRANULES;
      return step > 0 ? base + LINE_GRANULES : base - 1;
    }

    // Adds to sums[] how the bytes from `begin` to `end` are spread over the states; by lines.
    spread(begin, end, sums) {
      const first = this.first * GRANULE, top = this.top * GRANULE;
      const overlap = (low, high) => Math.max(0, Math.min(end, high) - Math.max(begin, low));
      sums[METADATA] += overlap(0, first);
      sums[UNTOUCHED] += overlap(top, this.size);
      const bytes = overlap(first, top);
      if (bytes === 0)
        return;
      const low = Math.floor((Math.max(begin, first) - first) / LINE);
      const high = Math.min(this.lines, Math.ceil((Math.min(end, top) - first) / LINE));
      const granules = Math.min(high * LINE_GRANULES, this.top - this.first) - low * LINE_GRANULES;
      const used = (this.used[high] - this.used[low]) / granules;
      const purged = (this.purged[high] - this.purged[low]) / granules;
      sums[USED] += bytes * used;
      sums[PURGED] += bytes * purged;
      sums[FREE] += bytes * (1 - used - purged);
    }
  }

  class Mapping {
    constructor(words, page) {
      this.address = long(words, 0);
      this.size = long(words, 2);
      this.requested = long(words, 4);
      this.state = words[6] ? KEPT : MAPPED;
      this.page = page;
      this.resident = residencyOf(words.subarray(8), Math.ceil(this.size / page));
    }
    block(offset) { return offset < this.size ? {begin: 0, end: this.size, state: this.state} : null; }
    spread(begin, end, sums) {
      sums[this.state] += Math.max(0, Math.min(end, this.size) - Math.max(begin, 0));
    }
    get residentBytes() {
      return this.resident ? this.resident[this.resident.length - 1] * this.page : 0;
    }
  }

  const STATISTIC_NAMES = ['requested', 'allocated', 'allocated_blocks', 'free', 'free_blocks',
    'untouched', 'metadata', 'heap', 'mapped', 'mapped_blocks', 'mapped_cached', 'resident', 'heaps'];

  const parsed = new Map(); // records that several maps have are read once
  function parseRecord(index, page, hasResidency) {
    if (!parsed.has(index)) {
      const words = unpack(data.records[index]), body = words.subarray(4);
      let value = body;
      if (words[0] === REGION)
        value = new Region(body, page, hasResidency);
      else if (words[0] === MAPPING)
        value = new Mapping(body, page);
      else if (words[0] === STATISTICS)
        value = Object.fromEntries(STATISTIC_NAMES.map((name, i) => [name, long(body, 2 * i)]));
      else if (words[0] === HEAP)
        value = {number: long(body, 0), parked: body[2] !== 0, merged: body[3] !== 0};
      else if (words[0] === TEXT)
        value = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
      parsed.set(index, {type: words[0], value});
    }
    return parsed.get(index);
  }

  function readFrame(indices) {
    const header = unpack(data.records[indices[0]]);
    const frame = {flags: header[3], page: header[5], regionBytes: long(header, 6),
      pid: long(header, 8), time: long(header, 10), heaps: [], regions: [], mappings: [],
      statistics: null, sites: null, text: null};
    const lists = {[HEAP]: frame.heaps, [REGION]: frame.regions, [MAPPING]: frame.mappings};
    const single = {[STATISTICS]: 'statistics', [SITES]: 'sites', [TEXT]: 'text'};
    for (const index of indices.slice(1)) {
      const {type, value} = parseRecord(index, frame.page, !(frame.flags & NO_RESIDENCY));
      if (lists[type])
        lists[type].push(value);
      else if (single[type])
        frame[single[type]] = value;
    }
    frame.totals = totalsOf(frame);
    return frame;
  }

  function sum(regions) {
    const totals = {allocated: 0, allocated_blocks: 0, free: 0, free_blocks: 0, purged: 0,
      untouched: 0, metadata: 0, heap: 0, resident: 0};
    for (const region of regions)
      for (const name in totals)
        totals[name] += region.totals[name];
    return totals;
  }

  function totalsOf(frame) {
    const totals = sum(frame.regions);
    Object.assign(totals, {mapped: 0, mapped_blocks: 0, mapped_cached: 0,
      heaps: frame.heaps.length});
    for (const mapping of frame.mappings) {
      totals[mapping.state === KEPT ? 'mapped_cached' : 'mapped'] += mapping.size;
      totals.mapped_blocks += mapping.state === MAPPED ? 1 : 0;
      totals.resident += mapping.residentBytes;
    }
    return totals;
  }

  // ---- layout ----------------------------------------------------------------------------------

  /*
   * Sections, one for each heap and one for mappings; each is a line of bytes on which its spans
   * lie, cut into rows of rowBytes. A region takes a whole region's room, so rows begin at round
   * addresses; mappings follow each other with a page between them.
   */
  let frame, sections;

  function layOut() {
    sections = [];
    for (const heap of frame.heaps) {
      const regions = frame.regions.filter(region => region.heap === heap.number);
      if (regions.length === 0)
        continue;
      const spans = regions.map((region, i) => ({at: i * frame.regionBytes, of: region}));
      const name = `Heap ${heap.number}` + (heap.merged ? ', taken over' :
        heap.parked ? ', its thread has ended' : '');
      sections.push({name, spans, heap});
    }
    if (frame.mappings.length > 0) {
      let at = 0;
      const spans = frame.mappings.map(mapping => {
        const span = {at, of: mapping};
        at += Math.ceil(mapping.size / frame.page + 1) * frame.page;
        return span;
      });
      sections.push({name: 'Mapped blocks', spans, heap: null});
    }
    for (const section of sections) {
      const last = section.spans[section.spans.length - 1];
      section.bytes = last.at + last.of.size;
    }
  }

  // The index of the span that begins last at or before `at`.
  function spanIndex(section, at) {
    let low = 0, high = section.spans.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (section.spans[middle].at <= at) low = middle; else high = middle;
    }
    return low;
  }

  const LEAST_ROW = LINE, MOST_ROW = 2 ** 42;
  const canvas = byId('map'), overview = byId('overview');
  let rowBytes = 2 ** 20, scroll = 0, isWhole = true, chosen = null, hovered = null, colours, metrics;

  function measure() {
    const ratio = window.devicePixelRatio || 1;
    for (const each of [canvas, overview]) {
      each.width = Math.max(1, Math.round(each.clientWidth * ratio));
      each.height = Math.max(1, Math.round(each.clientHeight * ratio));
    }
    metrics = {ratio, gutter: Math.round(118 * ratio), head: Math.round(24 * ratio),
      row: Math.round(17 * ratio), cell: Math.round(12 * ratio), strip: Math.round(3 * ratio)};
    metrics.width = Math.max(64, canvas.width - metrics.gutter);
  }

  const rowsOf = section => Math.ceil(section.bytes / rowBytes);
  const heightOf = section => metrics.head + rowsOf(section) * metrics.row;
  const height = () => sections.reduce((all, section) => all + heightOf(section), 0);
  const clampScroll = () => {
    scroll = Math.max(0, Math.min(scroll, height() - canvas.height + metrics.row));
  };

  // Where a byte of a section is drawn, from the top of everything.
  function placeOf(section, at) {
    let y = metrics.head;
    for (const each of sections) {
      if (each === section)
        break;
      y += heightOf(each);
    }
    const row = Math.floor(at / rowBytes);
    return {x: metrics.gutter + (at - row * rowBytes) / rowBytes * metrics.width,
      y: y + row * metrics.row};
  }

  // What is drawn at a point of the canvas: {section, at}; null: nothing.
  function pointed(x, y) {
    let top = -scroll;
    for (const section of sections) {
      const bottom = top + heightOf(section);
      if (y < bottom) {
        if (y < top + metrics.head || x < metrics.gutter || x >= metrics.gutter + metrics.width)
          return null;
        const row = Math.floor((y - top - metrics.head) / metrics.row);
        const at = Math.floor((row + (x - metrics.gutter) / metrics.width) * rowBytes);
        return at < section.bytes ? {section, at} : null;
      }
      top = bottom;
    }
    return null;
  }

  // The block at a place: what is told of it, and where it lies.
  function blockAt(place) {
    if (!place)
      return null;
    const span = place.section.spans[spanIndex(place.section, place.at)];
    const block = span.of.block(place.at - span.at);
    return block && {...block, span, section: place.section,
      address: span.of.address + block.begin, size: block.end - block.begin};
  }

  // ---- drawing ---------------------------------------------------------------------------------

  const colourOf = name => {
    const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    return [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16));
  };
  function readColours() {
    colours = {state: STATES.map(colourOf)};
    for (const name of ['back', 'ink', 'dim', 'resident', 'absent', 'mark'])
      colours[name] = colourOf(name);
  }
  const pixel = rgb => (255 << 24 | rgb[2] << 16 | rgb[1] << 8 | rgb[0]) >>> 0;
  const css = rgb => `rgb(${rgb.join()})`;

  const sums = new Float64Array(STATES.length);
  function mixed(total) {
    let red = 0, green = 0, blue = 0, rest = total;
    for (let state = 1; state < STATES.length; state++) {
      const share = sums[state], rgb = colours.state[state];
      red += share * rgb[0];
      green += share * rgb[1];
      blue += share * rgb[2];
      rest -= share;
    }
    const none = colours.state[NONE], back = Math.max(0, rest);
    return (255 << 24 | (blue + back * none[2]) / total << 16 |
      (green + back * none[1]) / total << 8 | (red + back * none[0]) / total) >>> 0;
  }

  function mixTwo(a, b, share) {
    return pixel(a.map((value, i) => Math.round(value + (b[i] - value) * share)));
  }

  // A block gets an edge where it is so many pixels from the one before.
  const LEAST_BLOCK = 5;
  let cells, strip; // the pixels of a row: what is there, and whether it is in memory
  const states = new Uint8Array(LINE_GRANULES), starts = new Uint8Array(LINE_GRANULES);

  // Pixels of a span in a row that begins at byte `base` of the section, where a pixel is less than
  // a line: the tags are looked at.
  function paintGranules(span, base, low, high, bytes) {
    const region = span.of;
    let decoded = -1, before = -1, edge = low - LEAST_BLOCK;
    for (let x = low; x < high; x++) {
      const offset = base + x * bytes - span.at, granule = Math.floor(offset / GRANULE);
      let state = NONE, start = 0;
      if (granule < region.first) {
        state = METADATA;
      } else if (granule >= region.top) {
        state = granule < region.committed ? UNTOUCHED : NONE;
      } else {
        const line = Math.floor((granule - region.first) / LINE_GRANULES);
        if (line !== decoded)
          region.decode(decoded = line, states, starts);
        state = states[granule % LINE_GRANULES];
        start = starts[granule % LINE_GRANULES];
        const last = Math.floor((offset + bytes) / GRANULE);
        if (last > granule + 1) {
          // Several granules in a pixel: the mean of those that are in this line.
          sums.fill(0);
          const from = granule % LINE_GRANULES;
          const to = Math.min(LINE_GRANULES, from + last - granule);
          for (let i = from; i < to; i++) {
            sums[states[i]]++;
            start |= starts[i];
          }
          sums[NONE] = 0;
          cells[x] = mixed(to - from);
          if (start && x - edge >= LEAST_BLOCK)
            cells[x] = mixTwo(colours.state[states[from]], colours.back, 0.5);
          edge = start ? x : edge;
          continue;
        }
      }
      const begins = start && granule !== before;
      cells[x] = begins && x - edge >= LEAST_BLOCK ?
        mixTwo(colours.state[state], colours.back, 0.5) : pixel(colours.state[state]);
      edge = begins ? x : edge;
      before = granule;
    }
  }

  function paintSpan(span, base, low, high, bytes) {
    const region = span.of;
    if (region.tags && bytes < LINE) {
      paintGranules(span, base, low, high, bytes);
    } else {
      for (let x = low; x < high; x++) {
        const offset = base + x * bytes - span.at;
        sums.fill(0);
        region.spread(offset, offset + bytes, sums);
        cells[x] = mixed(bytes);
      }
    }
    const {resident, page} = region;
    for (let x = low; x < high; x++) {
      const offset = Math.max(0, base + x * bytes - span.at);
      if (!resident || offset >= region.size)
        continue;
      const first = Math.floor(offset / page);
      const end = Math.min(resident.length - 1, Math.max(first + 1, Math.ceil((offset + bytes) / page)));
      strip[x] = mixTwo(colours.absent, colours.resident,
        (resident[end] - resident[first]) / (end - first));
    }
  }

  function paintRow(section, row) {
    const bytes = rowBytes / metrics.width, base = row * rowBytes;
    cells.fill(pixel(colours.back));
    strip.fill(pixel(colours.back));
    for (let i = spanIndex(section, base); i < section.spans.length; i++) {
      const span = section.spans[i];
      if (span.at >= base + rowBytes)
        break;
      const low = Math.max(0, Math.floor((span.at - base) / bytes));
      const high = Math.min(metrics.width, Math.ceil((span.at + span.of.size - base) / bytes));
      if (low < high)
        paintSpan(span, base, low, high, bytes);
    }
  }

  function drawRows(context) {
    const image = context.createImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const texts = [];
    pixels.fill(pixel(colours.back));
    if (!cells || cells.length !== metrics.width) {
      cells = new Uint32Array(metrics.width);
      strip = new Uint32Array(metrics.width);
    }
    const showPages = byId('pages').checked && !(frame.flags & NO_RESIDENCY);
    let top = -scroll;
    for (const section of sections) {
      const bottom = top + heightOf(section);
      if (bottom > 0 && top < canvas.height) {
        texts.push({text: section.name, x: 0, y: top + 17 * metrics.ratio, bold: true});
        const first = Math.max(0, Math.floor(-(top + metrics.head) / metrics.row));
        const last = Math.min(rowsOf(section),
          Math.ceil((canvas.height - top - metrics.head) / metrics.row));
        for (let row = first; row < last; row++) {
          const y = Math.round(top + metrics.head + row * metrics.row);
          const span = section.spans[spanIndex(section, row * rowBytes)];
          const address = span.of.address + row * rowBytes - span.at;
          paintRow(section, row);
          for (let line = 0; line < metrics.cell + metrics.strip; line++) {
            if (y + line >= 0 && y + line < canvas.height && (line < metrics.cell || showPages))
              pixels.set(line < metrics.cell ? cells : strip,
                (y + line) * canvas.width + metrics.gutter);
          }
          texts.push({text: '0x' + address.toString(16), x: 0, y: y + 11 * metrics.ratio});
          addSizes(section, row, y, texts);
        }
      }
      top = bottom;
    }
    context.putImageData(image, 0, 0);
    for (const {text, x, y, bold, inside} of texts) {
      context.font = `${bold ? 'bold ' : ''}${(bold ? 13 : 11) * metrics.ratio}px ` +
        (bold || inside ? 'sans-serif' : 'monospace');
      context.textAlign = inside ? 'center' : 'left';
      context.fillStyle = css(inside ? colours.back : bold ? colours.ink : colours.dim);
      context.fillText(text, x, y);
    }
  }

  // The sizes of the blocks that are wide enough to be written on.
  function addSizes(section, row, y, texts) {
    const wide = metrics.width / rowBytes;
    if (GRANULE * wide < 6 * metrics.ratio)
      return;
    for (let at = row * rowBytes; at < (row + 1) * rowBytes && at < section.bytes;) {
      const block = blockAt({section, at});
      if (!block)
        break;
      const begin = Math.max(row * rowBytes, block.span.at + block.begin);
      const end = Math.min((row + 1) * rowBytes, block.span.at + block.end);
      if ((end - begin) * wide > 30 * metrics.ratio)
        texts.push({text: String(block.size), y: y + 10 * metrics.ratio, inside: true,
          x: metrics.gutter + ((begin + end) / 2 - row * rowBytes) * wide});
      at = block.span.at + block.end;
    }
  }

  function outline(context, block, colour, width) {
    if (!block)
      return;
    const begin = block.span.at + block.begin, end = block.span.at + block.end;
    const firstRow = Math.floor(begin / rowBytes), lastRow = Math.floor((end - 1) / rowBytes);
    const place = placeOf(block.section, begin);
    context.strokeStyle = colour;
    context.lineWidth = width * metrics.ratio;
    const visible = Math.ceil(canvas.height / metrics.row) + 1;
    const above = Math.max(0, Math.floor((scroll - place.y) / metrics.row));
    for (let row = firstRow + above; row <= lastRow && row < firstRow + above + visible; row++) {
      const low = Math.max(begin, row * rowBytes) - row * rowBytes;
      const high = Math.min(end, (row + 1) * rowBytes) - row * rowBytes;
      const y = place.y + (row - firstRow) * metrics.row - scroll;
      context.strokeRect(metrics.gutter + low / rowBytes * metrics.width - 0.5, y - 0.5,
        Math.max(2, (high - low) / rowBytes * metrics.width), metrics.cell + 1);
    }
  }

  function drawOverview() {
    const context = overview.getContext('2d'), all = height();
    const image = context.createImageData(overview.width, overview.height);
    const pixels = new Uint32Array(image.data.buffer);
    let top = 0;
    pixels.fill(pixel(colours.back));
    for (const section of sections) {
      const low = Math.floor(top / all * overview.height);
      const high = Math.floor((top + heightOf(section)) / all * overview.height);
      for (let y = low + 1; y < high; y++) {
        const begin = (y - low) / (high - low) * section.bytes, bytes = section.bytes / (high - low);
        sums.fill(0);
        for (let i = spanIndex(section, begin); i < section.spans.length; i++) {
          const span = section.spans[i];
          if (span.at >= begin + bytes)
            break;
          span.of.spread(begin - span.at, begin - span.at + bytes, sums);
        }
        pixels.fill(mixed(bytes), y * overview.width, (y + 1) * overview.width);
      }
      top += heightOf(section);
    }
    context.putImageData(image, 0, 0);
    context.strokeStyle = css(colours.mark);
    context.lineWidth = 2 * metrics.ratio;
    context.strokeRect(1, scroll / all * overview.height, overview.width - 2,
      Math.max(4, Math.min(1, canvas.height / all) * overview.height));
  }

  const drawTimes = [];
  let due = false;
  function draw() {
    due = false;
    const begun = performance.now(), context = canvas.getContext('2d');
    clampScroll();
    drawRows(context);
    outline(context, chosen, css(colours.mark), 2);
    outline(context, hovered, css(colours.ink), 1);
    drawOverview();
    drawTimes.push(performance.now() - begun);
  }
  function redraw() {
    if (!due)
      requestAnimationFrame(draw);
    due = true;
  }

  // ---- moving ----------------------------------------------------------------------------------

  const sizeText = bytes => {
    const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
    let unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++)
      bytes /= 1024;
    return `${Number.isInteger(bytes) ? bytes : bytes.toFixed(1)} ${units[unit]}`;
  };

  function setRowBytes(value) {
    rowBytes = Math.max(LEAST_ROW, Math.min(MOST_ROW, value));
    byId('scale').textContent = `${sizeText(rowBytes)} a row`;
  }

  function showAll() {
    setRowBytes(LEAST_ROW);
    while (height() > canvas.height && rowBytes < MOST_ROW)
      setRowBytes(rowBytes * 2);
    scroll = 0;
    isWhole = true;
    redraw();
  }

  // Zooms in by so many doublings; what is at the point stays at its height.
  function zoom(steps, x, y) {
    const place = pointed(x, y) || (chosen && {section: chosen.section,
      at: chosen.span.at + chosen.begin});
    const before = place && placeOf(place.section, place.at).y - scroll;
    setRowBytes(rowBytes * 2 ** -steps);
    isWhole = false;
    if (place)
      scroll = placeOf(place.section, place.at).y - before;
    redraw();
  }

  function choose(block) {
    chosen = block;
    byId('status').textContent = block ? describe(block).replace(/\n/g, ' · ') : '';
    if (block) {
      const {y} = placeOf(block.section, block.span.at + block.begin);
      if (y < scroll || y > scroll + canvas.height - metrics.row)
        scroll = y - canvas.height / 2;
    }
    redraw();
  }

  // The block before or behind the chosen one, in the order in which they are drawn.
  function neighbour(step) {
    if (!chosen)
      return blockAt({section: sections[0], at: 0});
    const {section, span} = chosen, index = section.spans.indexOf(span);
    const inside = step > 0 ? chosen.end : chosen.begin - 1;
    if (inside >= 0 && inside < span.of.size)
      return blockAt({section, at: span.at + inside});
    let next = section.spans[index + step], other = section;
    if (!next) {
      other = sections[sections.indexOf(section) + step];
      next = other && other.spans[step > 0 ? 0 : other.spans.length - 1];
    }
    return next ? blockAt({section: other, at: next.at + (step > 0 ? 0 : next.of.size - 1)}) : chosen;
  }

  // ---- telling ---------------------------------------------------------------------------------

  const decoder = new TextDecoder();
  function siteOf(address) {
    if (!frame.sites)
      return null;
    let low = 0, high = frame.sites.length / 6;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (long(frame.sites, 6 * middle) < address) low = middle + 1; else high = middle;
    }
    if (6 * low >= frame.sites.length || long(frame.sites, 6 * low) !== address)
      return null;
    const begin = long(frame.sites, 6 * low + 4), end = frame.text.indexOf(0, begin);
    return {age: (frame.time - long(frame.sites, 6 * low + 2)) / 1e9,
      text: decoder.decode(frame.text.subarray(begin, end < 0 ? undefined : end))};
  }

  function describe(block) {
    const of = block.span.of;
    const lines = [`0x${block.address.toString(16)}: ${block.size.toLocaleString('en')} bytes, ` +
      STATE_NAMES[block.state]];
    lines.push(block.section.name);
    if (block.state === MAPPED)
      lines.push(`asked for: ${of.requested.toLocaleString('en')} bytes`);
    if (of.resident) {
      const first = Math.floor(block.begin / of.page), end = Math.ceil(block.end / of.page);
      lines.push(`pages in memory: ${of.resident[end] - of.resident[first]} of ${end - first}`);
    }
    const site = block.state === USED || block.state === MAPPED ? siteOf(block.address) : null;
    if (site)
      lines.push(`allocated ${site.age.toFixed(3)} s before` + (site.text && ` by ${site.text}`));
    return lines.join('\n');
  }

  function showHover(event) {
    const box = byId('hover'), ratio = metrics.ratio;
    hovered = event && blockAt(pointed(event.offsetX * ratio, event.offsetY * ratio));
    box.hidden = !hovered;
    if (hovered) {
      box.textContent = describe(hovered);
      const right = event.offsetX > canvas.clientWidth - 330;
      box.style.left = `${event.offsetX + (right ? -14 - box.offsetWidth : 16)}px`;
      box.style.top = `${Math.min(event.offsetY + 16, canvas.clientHeight - box.offsetHeight)}px`;
    }
    redraw();
  }

  const LABELS = {allocated: 'in use', allocated_blocks: '… blocks', free: 'free',
    free_blocks: '… blocks', purged: '… not in memory', untouched: 'untouched end',
    metadata: 'metadata', heap: 'heap, all of these', mapped: 'mapped, in use',
    mapped_blocks: '… blocks', mapped_cached: 'mapped, kept', resident: 'in memory',
    heaps: 'heaps'};

  function cell(row, text, tag = 'td', name = '') {
    const element = row.appendChild(document.createElement(tag));
    element.textContent = text;
    if (name)
      element.className = name;
    if (tag === 'th')
      element.scope = row.parentNode.tagName === 'THEAD' ? 'col' : 'row';
    return element;
  }

  function addTable(caption, heads, rows) {
    const table = byId('numbers').appendChild(document.createElement('table'));
    table.createCaption().textContent = caption;
    const head = table.createTHead().insertRow();
    heads.forEach(text => cell(head, text, 'th'));
    const body = table.createTBody();
    for (const {name, cells: values, differs, id} of rows) {
      const row = body.insertRow();
      if (id)
        row.id = id;
      cell(row, name, 'th');
      values.forEach(value => cell(row, value === null ? '' : value.toLocaleString('en'), 'td',
        differs ? 'differs' : ''));
    }
  }

  function showNumbers() {
    const {totals, statistics} = frame, isKnown = !(frame.flags & NO_RESIDENCY);
    byId('numbers').replaceChildren();
    const names = Object.keys(LABELS).filter(name => isKnown ||
      (name !== 'resident' && name !== 'purged'));
    let differing = 0;
    addTable('Totals, in bytes', statistics ? ['', 'in the map', 'statistics'] : ['', 'in the map'],
      names.map(name => {
        const told = statistics ? (name in statistics ? [statistics[name]] : [null]) : [];
        const differs = told.length > 0 && told[0] !== null && told[0] !== totals[name];
        differing += differs ? 1 : 0;
        return {name: LABELS[name], id: `total-${name}`, cells: [totals[name], ...told], differs};
      }));
    const verdict = byId('numbers').appendChild(document.createElement('p'));
    verdict.id = 'verdict';
    verdict.textContent = !statistics ? 'Counted block by block from the map.' :
      differing === 0 ? 'Counted block by block from the map; equal to what os_malloc_stats said.' :
      frame.flags & RUNNING ? 'Other threads, or the writing itself, changed something meanwhile.' :
      'The map and the statistics differ.';
    if (frame.heaps.length > 1)
      addTable('Each heap', ['', 'in use', 'free', 'all'], frame.heaps.map(heap => {
        const own = sum(frame.regions.filter(region => region.heap === heap.number));
        return {name: `heap ${heap.number}`, cells: [own.allocated, own.free, own.heap]};
      }));
  }

  function showLegend() {
    for (const [state, name] of [[USED, 'in use'], [FREE, 'free'], [PURGED, 'free, not in memory'],
      [UNTOUCHED, 'untouched end'], [METADATA, 'metadata'], [MAPPED, 'mapped'],
      [KEPT, 'mapped, kept']]) {
      const element = byId('legend').appendChild(document.createElement('span'));
      element.textContent = name;
      element.style.setProperty('--colour', `var(--${STATES[state]})`);
    }
  }

  // ---- several maps ----------------------------------------------------------------------------

  const frames = new Map();
  function frameAt(index) {
    if (!frames.has(index))
      frames.set(index, readFrame(data.frames[index]));
    return frames.get(index);
  }

  function showFrame(index) {
    const begin = frameAt(0);
    frame = frameAt(index);
    layOut();
    chosen = hovered = null;
    byId('status').textContent = '';
    byId('hover').hidden = true;
    const since = ((frame.time - begin.time) / 1e9).toFixed(3);
    const which = data.frames.length > 1 ? `, map ${index + 1} of ${data.frames.length}` : '';
    byId('moment').textContent = frame.flags & RECORDED ?
      `${(frame.time / 1e9).toFixed(3)} s after the start of the recording${which}` :
      `process ${frame.pid}, ${new Date(frame.time / 1e6).toISOString().slice(0, 19)}Z` +
      (which && `, ${since} s after the first${which}`);
    byId('slider').value = index;
    byId('slider').setAttribute('aria-valuetext', byId('moment').textContent);
    canvas.setAttribute('aria-label', `Map of the heap: ` +
      `${sizeText(frame.totals.allocated)} in use in ${frame.totals.allocated_blocks} blocks, ` +
      `${sizeText(frame.totals.free)} free, ${sizeText(frame.totals.mapped)} mapped`);
    showNumbers();
    byId('pages').parentNode.hidden = (frame.flags & NO_RESIDENCY) !== 0;
    if (isWhole)
      showAll();
    redraw();
  }

  let player = 0;
  function play() {
    const slider = byId('slider');
    if (player) {
      clearInterval(player);
      player = 0;
    } else {
      player = setInterval(() => showFrame((Number(slider.value) + 1) % data.frames.length), 250);
    }
    byId('play').textContent = player ? 'Stop' : 'Play';
    byId('play').setAttribute('aria-pressed', String(player !== 0));
  }

  // ---- events ----------------------------------------------------------------------------------

  let turned = 0; // of the wheel, not yet a step
  canvas.addEventListener('wheel', event => {
    event.preventDefault();
    if (event.shiftKey) {
      scroll += event.deltaY || event.deltaX;
      return redraw();
    }
    turned += event.deltaMode === 0 ? event.deltaY / 50 : event.deltaY;
    const steps = Math.trunc(turned);
    turned -= steps;
    if (steps)
      zoom(-Math.sign(steps) * Math.min(3, Math.abs(steps)), event.offsetX * metrics.ratio,
        event.offsetY * metrics.ratio);
    showHover(event);
  }, {passive: false});

  let drag = null;
  canvas.addEventListener('pointerdown', event => {
    drag = {y: event.offsetY, scroll, moved: false};
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', event => {
    if (drag && Math.abs(event.offsetY - drag.y) > 3)
      drag.moved = true;
    if (drag && drag.moved) {
      scroll = drag.scroll - (event.offsetY - drag.y) * metrics.ratio;
      clampScroll();
    }
    showHover(event);
  });
  canvas.addEventListener('pointerup', event => {
    if (drag && !drag.moved)
      choose(blockAt(pointed(event.offsetX * metrics.ratio, event.offsetY * metrics.ratio)));
    drag = null;
  });
  canvas.addEventListener('pointerleave', () => showHover(null));

  const jump = event => {
    if (event.buttons) {
      scroll = event.offsetY / overview.clientHeight * height() - canvas.height / 2;
      redraw();
    }
  };
  overview.addEventListener('pointerdown', jump);
  overview.addEventListener('pointermove', jump);

  const keys = {
    '+': () => zoomCentre(1), '=': () => zoomCentre(1), '-': () => zoomCentre(-1), '0': showAll,
    ArrowDown: () => { scroll += metrics.row; redraw(); },
    ArrowUp: () => { scroll -= metrics.row; redraw(); },
    PageDown: () => { scroll += canvas.height * 0.9; redraw(); },
    PageUp: () => { scroll -= canvas.height * 0.9; redraw(); },
    Home: () => { scroll = 0; redraw(); },
    End: () => { scroll = height(); redraw(); },
    ArrowRight: () => choose(neighbour(1)),
    ArrowLeft: () => choose(neighbour(-1)),
  };
  // By keys the chosen block stays where it is, else what is in the middle.
  function zoomCentre(steps) {
    if (chosen)
      zoom(steps, -1, -1);
    else
      zoom(steps, metrics.gutter + metrics.width / 2, canvas.height / 2);
  }
  canvas.addEventListener('keydown', event => {
    if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  byId('in').addEventListener('click', () => zoomCentre(1));
  byId('out').addEventListener('click', () => zoomCentre(-1));
  byId('all').addEventListener('click', showAll);
  byId('pages').addEventListener('change', redraw);
  byId('play').addEventListener('click', play);
  byId('slider').addEventListener('input', event => showFrame(Number(event.target.value)));
  new ResizeObserver(() => { measure(); if (isWhole) showAll(); redraw(); }).observe(byId('view'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColours();
    redraw();
  });

  // ---- the start -------------------------------------------------------------------------------

  byId('title').textContent = document.title;
  byId('time').hidden = data.frames.length < 2;
  byId('slider').max = data.frames.length - 1;
  showLegend();
  readColours();
  measure();
  showFrame(0);
  draw();

  // For who drives the page by a program.
  window.osmemMap = {
    get rowBytes() { return rowBytes; },
    get scroll() { return scroll; },
    get totals() { return frame.totals; },
    get chosen() { return chosen && {address: chosen.address, size: chosen.size,
      state: STATES[chosen.state]}; },
    get hovered() { return hovered && {address: hovered.address, size: hovered.size,
      state: STATES[hovered.state]}; },
    drawTimes,
    // Where on the page, in its pixels, the byte at `address` is drawn.
    pointOf(address) {
      for (const section of sections)
        for (const span of section.spans)
          if (address >= span.of.address && address < span.of.address + span.of.size) {
            const {x, y} = placeOf(section, span.at + address - span.of.address);
            const box = canvas.getBoundingClientRect();
            return {x: box.left + x / metrics.ratio,
              y: box.top + (y - scroll + metrics.cell / 2) / metrics.ratio};
          }
      return null;
    },
  };
})();
