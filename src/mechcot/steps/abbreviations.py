"""Words with a full stop that may not end a sentence, by what may follow them in the same sentence.

The tables are data: a word is added to one of them, without its last full stop. Dotted words
("b.i.d.", "U.S.") and single letters need no entry, `steps.sentences` knows them by their form. An
ordinary word ("lab.", "sat.") has no place here: its sentences would not end.
"""

from __future__ import annotations

from mechcot.steps.number import words

ALWAYS = words(
    # titles
    "Mr Mrs Ms Mx Dr Drs Prof Profs Messrs Mme Mlle MM Pr Sra Srta Dra Hr Hrn Sig Dott dhr mevr "
    # English and Latin
    "e.g i.e eg ie vs v viz cf i.a n.b N.B approx appr aprox ca circa vit "
    # German, French, Spanish, Dutch, Russian
    "z.B d.h bzw ggf vgl sog inkl exkl evtl bspw p.ex c.-à-d p.ej EE bijv т.е напр см См"
)
"""The sentence goes on, whatever follows."""

NAMES = words(
    "Inc Ltd Co Corp Bros LLC GmbH Jr Sr St Ste Mt Ft Ave Blvd Rd Gen Col Maj Capt Cpt Lt Sgt Cpl Gov Sen "
    "Rep Rev Hon Pres Univ med Dept Ph.D PhD Pharm.D Psy.D Ed.D D.Phil M.Phil M.Sc B.Sc M.Ed Esq al UU"
)
"""The sentence goes on, unless a word follows that opens sentences."""

REFERENCES = words(
    "Fig Figs fig figs Eq Eqs eq eqs Sec Secs Sect sect Ch ch Chap chap Par para paras Vol vol Vols No "
    "Nos no nos Nr nr Thm Thms thm Lem lem Cor Prop Def Defs Alg Suppl suppl Tab Tabs Ref Refs ref refs "
    "App p pp pg pgs Art Abb Nº núm pág págs pag стр рис табл Mon Tue Tues Wed Thu Thur Thurs Fri Jan Feb "
    "Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
)
"""The sentence goes on before a number, a lone letter or a small letter."""

SHORT = words(
    # quantities
    "max min avg est temp conc vol wt ht diam freq abs rel std dev prob resp incl excl esp env ungef "
    # units
    "mg mcg kg ml mL dl dL cm mm km lb lbs oz hr hrs sec secs mins mo mos wk wks yr yrs Std Min "
    # medicine
    "pt pts Pt Pts Pat hx dx tx sx rx Hx Dx Tx Sx Rx neg adm dept hosp diag meds inj tab tabs cap caps supp "
    "sol susp req prn tid qid inf sup lat prox dist abd resp neuro ddx "
    # organisms and names of things
    "spp sp subsp ssp var cv gen nov orig ed eds ex misc tech "
    # other languages
    "ej bes etw др"
)
"""The sentence goes on before a small letter, a number or a bracket."""

JOURNALS = words(
    "Acad Adv Am Anesth Ann Annu Antimicrob Appl Arch Asia Assoc Aust Behav Biochem Biochim Biol Biomed "
    "Biophys Biotechnol Br Bull Cardiol Cardiovasc Chem Chemother Chim Chir Circ Clin Cogn Coll Commun "
    "Comput Contemp Crit Curr Dermatol Diabetol Dis Discov Ecol Econ Educ Emerg Endocr Endocrinol Engl "
    "Engin Environ Epidemiol Ethn Eur Exp Fertil Gastroenterol Genet Geophys Geriatr Gerontol Gynaecol "
    "Gynecol Haematol Haemost Hematol Hepatol Hosp Hum Hypertens Immun Immunol Infect Inorg Inst Int "
    "Intensive Intern Invest J Jpn Lett Lond Magn Med Metab Microbiol Mol Nat Natl Nephrol Neurobiol "
    "Neurol Neurosci Neurosurg Nucl Nurs Nutr Obes Obstet Oncol Ophthalmol Opin Opt Orthop Otolaryngol "
    "Paediatr Parasitol Pathol Pediatr Pept Perspect Pharm Pharmacol Pharmacother Philos Phys Physiol "
    "Plast Postgrad Pract Prev Proc Psychiatr Psychol Psychother Publ Radiol Rehabil Rep Reprod Res "
    "Respir Resusc Rev Rheum Rheumatol Roentgenol Scand Schizophr Sci Semin Soc Surg Symp Syst Technol "
    "Teratol Ther Thorac Thromb Toxicol Trans Transl Transm Transplant Trop Urol Vasc Vet Virol Zool"
)
"""Words of journals' names: the sentence goes on before a number, a small letter or the name's next word."""

CLOSING = words("etc usw ecc enz a.m p.m A.M P.M etw.ä")
"""The sentence goes on before a small letter only."""

LETTERED = words(
    "vit vitamin vitamins hepatitis influenza haemophilia hemophilia penicillin amphotericin cyclosporin "
    "ciclosporin coenzyme immunoglobulin protein proteins factor factors antigen group groups type types "
    "class grade stage category child-pugh phase plan option options choice choices answer answers letter "
    "point points part parts case scenario variant figure table panel appendix section exhibit step item "
    "node set event line row column arm cohort patient person player team drug strain serotype serogroup "
    "subtype genotype chromosome complex polymyxin streptogramin mitomycin bleomycin botulinum toxin "
    "hormone receptor cell cells region area site gruppe typ option hepatite hépatite hepatitis vitamine "
    "vitamina opción opzione grupo tipo"
)
"""Nouns that a lone capital letter belongs to: "vitamin D." may end a sentence."""

BEFORE_INITIALS = words(
    "by of and with from to for in per see against under von van de und mit et avec par y con"
)
"""Words after which a lone capital letter may begin a name."""

OPENERS = words(
    "a an the this that these those it its he she they we you i his her their our your my there here such "
    "both each every either neither all some any many most much more few several no none not one another "
    "other others what which who whom whose when where why how if because since as while although though "
    "unless until once after before during given considering based according despite unlike with without "
    "in on at for from by to of so but and or nor yet however therefore thus hence also then next now "
    "first second third finally overall moreover furthermore additionally consequently accordingly "
    "instead otherwise meanwhile similarly likewise conversely still let note recall remember consider is "
    "are was were do does did can could may might should would will option options answer patient "
    "patients only even just perhaps probably possibly likely le la les l un une il elle ils elles ce "
    "cette ces der die das ein eine er sie es wir el los las una esto"
)
"""Words that open sentences, small letters."""
