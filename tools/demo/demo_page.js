'use strict';
/*
 * The page of `osmem trace-demo`: one step of the script at a time, on osmem and under other
 * policies, and a chart of how far each heap reaches.
 */
(() => {
  const byId = id => document.getElementById(id);
  const data = JSON.parse(byId('data').textContent);
  const {steps, names, ends, live} = data;
  const endOf = blocks => blocks.length ? blocks.at(-1)[0] + blocks.at(-1)[1] : 0;
  let step = 0;

  function element(parent, name, attributes = {}, text = '') {
    const node = parent.appendChild(document.createElementNS('http://www.w3.org/2000/svg', name));
    for (const [key, value] of Object.entries(attributes))
      node.setAttribute(key, value);
    node.textContent = text;
    return node;
  }

  // A row of blocks; those that were not there before are marked.
  function drawRow(svg, blocks, bytes, before, label) {
    const width = svg.clientWidth, height = svg.clientHeight;
    const known = new Set((before || blocks).map(block => block.join()));
    svg.replaceChildren();
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('aria-label', label);
    for (const [begin, size, name] of blocks) {
      const x = begin / bytes * width, w = size / bytes * width;
      const group = element(svg, 'g');
      element(group, 'title', {}, `${size} bytes at ${begin}, ${name ? `in use: ${name}` : 'free'}`);
      element(group, 'rect', {x, y: 1, width: Math.max(0.5, w - 1), height: height - 2,
        fill: name ? 'var(--used)' : 'var(--free)',
        ...(known.has([begin, size, name].join()) ? {} :
          {stroke: 'var(--new)', 'stroke-width': 3, 'stroke-linejoin': 'round'})});
      if (w > 34)
        element(group, 'text', {x: x + 5, y: height / 2 + 4},
          `${name && !name.includes(' ') ? name + ' ' : ''}${size}`);
    }
  }

  const largest = step => Math.max(...steps[step].pictures.map(endOf), 16);
  // Neighbouring steps are drawn to one scale, as long as their heaps are of much the same size.
  function scaleOf(step) {
    let bytes = largest(step);
    for (const other of steps.keys())
      if (largest(other) < 3 * largest(step))
        bytes = Math.max(bytes, largest(other));
    return bytes;
  }

  function show(to) {
    step = Math.max(0, Math.min(steps.length - 1, to));
    const now = steps[step], before = step > 0 ? steps[step - 1].pictures[0] : [];
    const bytes = scaleOf(step);
    byId('step').value = step;
    byId('step').setAttribute('aria-valuetext', `${step + 1}: ${now.line}`);
    byId('line').textContent = now.line;
    byId('explanation').textContent = now.explanation;
    let said = step;
    while (said > 0 && !steps[said].say)
      said--;
    byId('say').textContent = steps[said].say;
    [...byId('script').children].forEach((item, index) =>
      index === step ? item.setAttribute('aria-current', 'step') :
        item.removeAttribute('aria-current'));
    drawRow(byId('before'), before, bytes, null, 'The heap before the step');
    // After a step of many calls nearly all would be new.
    const isOne = now.call - (step > 0 ? steps[step - 1].call : 0) === 1;
    drawRow(byId('after'), now.pictures[0], bytes, isOne ? before : null, 'The heap after the step');
    names.forEach((name, index) => {
      const blocks = now.pictures[index], free = blocks.filter(block => !block[2]);
      drawRow(byId(`policy${index}`), blocks, bytes, null, name);
      byId(`told${index}`).textContent = `end ${endOf(blocks)}, ${free.length} free, ` +
        `largest ${Math.max(0, ...free.map(block => block[1]))}`;
    });
    drawChart();
  }

  function drawChart() {
    const svg = byId('chart'), width = svg.clientWidth, height = svg.clientHeight, left = 60;
    const calls = live.length, most = Math.max(...ends.flat(), 16);
    const x = call => left + call / Math.max(1, calls) * (width - left - 10);
    const y = bytes => height - 20 - bytes / most * (height - 35);
    const path = values => values.map((value, call) => `${x(call + 1)},${y(value)}`).join(' ');
    svg.replaceChildren();
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('aria-label', 'End of the heap by calls: peaks ' +
      names.map((name, index) => `${name} ${Math.max(...ends[index])}`).join(', '));
    element(svg, 'polygon', {fill: 'var(--live)',
      points: `${x(0)},${y(0)} ${path(live)} ${x(calls)},${y(0)}`});
    for (const share of [0.25, 0.5, 0.75, 1]) {
      element(svg, 'line', {x1: left, x2: width - 10, y1: y(share * most), y2: y(share * most),
        stroke: 'var(--rule)'});
      element(svg, 'text', {x: 4, y: y(share * most) + 4}, `${Math.round(share * most)}`);
    }
    names.forEach((_, index) => element(svg, 'polyline', {points: path(ends[index]), fill: 'none',
      stroke: `var(--line${index})`, 'stroke-width': index === 0 ? 2.5 : 1.5}));
    const at = x(steps[step].call);
    element(svg, 'line', {x1: at, x2: at, y1: 5, y2: height - 20, stroke: 'var(--ink)',
      'stroke-dasharray': '3 3'});
    element(svg, 'text', {x: left, y: height - 5}, `${calls} calls; grey: bytes in use`);
  }

  for (const [index, {line}] of steps.entries()) {
    const item = byId('script').appendChild(document.createElement('li'));
    item.textContent = line;
    item.addEventListener('click', () => show(index));
  }
  names.forEach((name, index) => {
    const label = byId('policies').appendChild(document.createElement('div'));
    label.textContent = name;
    element(byId('policies'), 'svg', {id: `policy${index}`, role: 'img'});
    byId('policies').appendChild(document.createElement('span')).id = `told${index}`;
    const key = byId('key').appendChild(document.createElement('span'));
    key.textContent = `${name}, peak ${Math.max(...ends[index])}`;
    key.style.setProperty('--colour', `var(--line${index})`);
  });
  byId('step').max = steps.length - 1;
  byId('step').addEventListener('input', event => show(Number(event.target.value)));
  byId('back').addEventListener('click', () => show(step - 1));
  byId('on').addEventListener('click', () => show(step + 1));
  addEventListener('resize', () => show(step));
  show(0);
})();
