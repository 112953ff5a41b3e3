"""A page of HTML, with its style and script in it, as one string of C++."""

def page(name):
    """NAME.inc of NAME.html, in which the lines @CSS@ and @JS@ stand for NAME.css and NAME.js.

    Args:
      name: of the three files
    """
    native.genrule(
        name = name,
        srcs = [
            name + ".css",
            name + ".html",
            name + ".js",
        ],
        outs = [name + ".inc"],
        cmd = "(echo 'R\"OSMEM_PAGE(' | tr -d '\\n';" +
              " sed -e '/@CSS@/{' -e 'r $(location %s.css)' -e 'd' -e '}'" % name +
              " -e '/@JS@/{' -e 'r $(location %s.js)' -e 'd' -e '}' $(location %s.html);" % (name, name) +
              " echo ')OSMEM_PAGE\"') > $@",
    )
