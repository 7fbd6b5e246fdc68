"""Abbreviations that do not end a sentence, of the languages that write them with a full stop; all in lower case."""

from __future__ import annotations


def _words(*listed: str) -> frozenset[str]:
    return frozenset(word for line in listed for word in line.split())


# never the last word of a sentence: titles before names, words that something follows
ALWAYS = _words(
    # English
    "mr mrs ms messrs dr prof rev hon gen col lt sgt capt cpl maj adm gov sen rep pres supt st mt ft e.g i.e eg ie cf",
    "vs v viz approx resp esp incl",
    # German
    "hr hrn fr frl fa co dipl ing mag z.b z.t z.zt d.h u.a o.ä i.d.r i.a bzw ca vgl sog gem evtl ggf inkl exkl zzgl",
    "bspw insb lt abb tab allg ehem geb gest med phil jur rer nat",
    # French
    "mm mme mmes mlle mlles me mgr p.ex ex env",
    # Spanish, Portuguese, Italian
    "sr sra sres srta srtas dra drs ud uds vd vds ee av avda excmo ilmo d.ª dña dn sig dott avv exmo",
    # Polish, Czech, Slovak
    "np tzn tzw m.in ul al pl os św inż mgr doc hab zob por ok wg im ks ppłk płk tj",
    "např tzv mj cca sv nám bc mudr judr phdr čp",
    # Dutch, Scandinavian
    "dhr mevr mw bijv bv d.w.z o.a f.eks t.ex bl.a",
    # Turkish
    "sn bkz örn yakl cad sok mah doç yrd",
    # Russian, Ukrainian, Bulgarian
    "др проф акад доц г-н г-жа ул пл пер просп наб им св см ср т.е напр ок прим ред",
    # Greek
    "κ κα κος κυρ δρ καθ αγ βλ δηλ π.χ λ.χ περ",
    # Arabic
    "د أ م إلخ",
    # Georgian
    "პროფ აკად იხ",
)

# they stand before a number
BEFORE_NUMBER = _words(
    # English
    "no nos fig figs eq eqs sec secs ch chap vol vols p pp para art tab table app ed ver par",
    "jan feb mar apr jun jul aug sep sept oct nov dec",
    # German
    "nr nrn kap abs abschn bd bde s str ziff anh aufl rn rz jh tel",
    # French, Spanish, Portuguese, Italian
    "nº n.º núm num cap pág págs pag fasc tome livre",
    # Polish, Czech
    "rys rozdz godz poz ust t r zał wyd obr č odst příl",
    # Turkish
    "böl şek syf md",
    # Russian
    "рис табл гл стр с д кв т п пп ст вып",
    # Greek
    "σχ κεφ αρ σελ αριθ παρ τόμ",
)

# the most usual words of languages that write ordinal numbers with a full stop, and of those that do not
WITH_ORDINALS = _words(
    "und der das ist nicht von mit für auf sich dem den", "og det ikke af til som", "ja on ei että oli",
    "že je na se pro jako který", "się jest nie w do z", "és az nem hogy egy", "ve bir bu için ile", "i u da su od",
    "un ir kas", "ir yra kad", "og að er",
)  # fmt: skip
WITHOUT_ORDINALS = _words(
    "the of and to is in that it for was", "le la les des et est une dans", "el los las de que y en con por",
    "il di che per", "o os as do em um uma não", "het een van en niet",
)  # fmt: skip

# words that begin a sentence after a single capital letter, which is then no initial
STARTERS = _words(
    "the this that these those it he she we they you there here in on at for but and or so if when while however a an",
    "die der das ein eine er sie es wir und aber le la les un une il elle el los las",
)
