/* A program that embeds Python: `embedding SCRIPT` runs a script. sys.executable does not name an interpreter. */
#include <Python.h>

int main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    Py_InitializeEx(0);
    FILE *script = fopen(argv[1], "r");
    if (script == NULL) {
        return 2;
    }
    int failed = PyRun_SimpleFile(script, argv[1]);
    return Py_FinalizeEx() != 0 || failed != 0;
}
