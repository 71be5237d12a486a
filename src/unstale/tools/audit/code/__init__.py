"""What the audited code says, understood without running it. Pure: text in, facts out; no rule and no output here.

    scopes      a module's names, and what is bound to them        indexing    from a syntax tree to scopes
    project     modules that import each other, classes, calls     kinds       what a value may be
    inferring   the kinds of an expression                         verbs       what the methods of caches do
                (annotating, calling, classes, decorators: its parts, which ask it by `asking`)
    derivation  what a value is made of, and where it goes         cache_calls the calls of caches
    keys        keys, written so that they can be compared         wrappers    the project's own helpers
    guards      under which condition a statement is reached       callers     who calls a function, to any depth
    walks       what becomes of keys that were walked              origins     requests, users and clocks
    texts       what hands on text as it came              rows        keys of a row that was loaded by another key
    checking    whether a text was compared before         order       whether a parameter's name was bound again
    declarations  what settings say of caches                      words       words in names
    understood  all of it put together

The trees are `ast`'s, since they are only read: on the standard library's first 53,000 lines `ast` takes 0.5 s,
libcst's parser 4.1 s, its positions about 11 s and an empty visitor 4.1 s. What is rewritten (`fixes`) is rewritten
with libcst.
"""
