# The repository in which the README's commands run: four versions of a ResNet-50, and in the working tree the first
# one's baseline beside a deeper model.
set -e
git init -q -b main .
echo '[tool.modelbudget]' > pyproject.toml
python models.py 6 1000 && git add -A && git commit -q -m "Add the model"
python models.py 6 2000 && git add -A && git commit -q -m "Double the classes"
git switch -q -c deeper
python models.py 7 2000 && git add -A && git commit -q -m "Add a block"
git switch -q main
git merge -q --no-ff -m "Merge deeper" deeper
python models.py 7 1000 && git add -A && git commit -q -m "Revert the classes"
python models.py 6 1000
